"""A `concurrent.futures.Future` that can also be awaited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future as ThreadFuture
from typing import Any, TypeVar

from manycore.client.callbacks import CALLBACKS

T = TypeVar("T")
logger = logging.getLogger("concurrent.futures")
"""Where the standard library says what a callback raised."""


class Future(ThreadFuture[T]):
    """The result of one `submit`. `await future` works in any running event loop."""

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def add_done_callback(self, fn: Callable[[ThreadFuture[T]], object]) -> None:
        """Call `fn(future)` once this is done, on a thread that is there for callbacks; whatever it raises is logged.

        If this is done already, `fn` is called at once, by the caller.
        """
        super().add_done_callback(fn if self.done() else _deferred(fn))


def _deferred(fn: Callable[[ThreadFuture[T]], object]) -> Callable[[ThreadFuture[T]], object]:
    if getattr(fn, "__module__", None) == asyncio.wrap_future.__module__:
        return lambda future: _tell_loop(fn, future)
    return lambda future: CALLBACKS.hand(fn, future)


def _tell_loop(fn: Callable[[ThreadFuture[T]], object], future: ThreadFuture[T]) -> None:
    """Wake an event loop, on the thread that has the outcome: asyncio's callback does no more, and somebody awaits."""
    try:
        fn(future)
    except BaseException:  # a loop of another make
        logger.exception("exception calling callback for %r", future)


def settle(future: ThreadFuture[Any], error: BaseException | None, value: Any = None) -> None:
    """End a future, with an error or a value. Whatever its waiters make of that, the next future gets its turn too."""
    try:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except BaseException:  # a boundary: a callback may raise anything
        logger.exception("A future's callback raised")
