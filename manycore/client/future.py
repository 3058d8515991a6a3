"""A `concurrent.futures.Future` that can also be awaited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future as ThreadFuture
from typing import Any, TypeVar

T = TypeVar("T")
logger = logging.getLogger("concurrent.futures")
"""Where the standard library says what a callback raised."""


class Future(ThreadFuture[T]):
    """The result of one `submit`. `await future` works in any running event loop."""

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def add_done_callback(self, fn: Callable[[ThreadFuture[T]], object]) -> None:
        """Call `fn(future)` once this is done; whatever it raises is logged. It holds up other outcomes: be brief."""
        super().add_done_callback(fn if self.done() else lambda future: _call(fn, future))


def _call(callback: Callable[[ThreadFuture[T]], object], future: ThreadFuture[T]) -> None:
    """On a thread of ours, which goes on whatever is raised: the standard library's own guard lets `SystemExit` by."""
    try:
        callback(future)
    except BaseException:
        logger.exception("exception calling callback for a done future")
