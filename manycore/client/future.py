"""A `concurrent.futures.Future` that can also be awaited, and costs little where nobody waits for it.

The standard library's is a dozen objects. A hundred thousand calls make a million, which the garbage collector walks
through again and again: half of all that a `submit` would cost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future as ThreadFuture
from concurrent.futures._base import FINISHED, PENDING, RUNNING
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from manycore.client.callbacks import CALLBACKS
from manycore.client.raised import frames_of, raisable, with_frames

T = TypeVar("T")
logger = logging.getLogger("concurrent.futures")
"""Where the standard library says what a callback raised."""
_FOR_WAITERS = frozenset({"_condition", "_waiters", "_done_callbacks"})
_quiet = threading.RLock()
"""Held for a moment by whoever changes a future that nobody has waited for, or begins to. A finalizer may come in
between and do so, too: a lock that its thread can take twice."""


def _renew_lock() -> None:
    """Another thread of the parent may have held it."""
    global _quiet
    _quiet = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


class _Condition(type(threading.RLock())):  # type: ignore[misc]
    """What a `threading.Condition` is to those who wait for a future, but for `with`, which is one step of C here.

    Else Ctrl-C between the lock and the `with` of a waiter would leave it held, and the thread that has the outcome, or
    the one that sends the call, would wait for it for ever, and with it all other calls.
    """

    __slots__ = ("_inner",)

    def __init__(self) -> None:
        super().__init__()  # gevent's has one
        self._inner = threading.Condition(self)

    def wait(self, timeout: float | None = None) -> bool:
        try:
            return self._inner.wait(timeout)
        except BaseException:
            if not self._is_owned():  # interrupted on the way: what follows releases it
                self.acquire()
            raise

    def notify_all(self) -> None:
        self._inner.notify_all()


class Future(ThreadFuture[T]):
    """The result of one `submit`. `await future` works in any running event loop.

    What waiters and callbacks need is made when the first of them asks. The names are the standard library's, which
    uses them between its futures and `wait` or `as_completed`; a test holds them.
    """

    _frames: TracebackType | None = None
    """Those that its error came with."""

    def __init__(self) -> None:
        self._state, self._result, self._exception = PENDING, None, None
        self._asked = False

    def __getattr__(self, name: str) -> Any:
        """What was not made yet. Comes here only once."""
        if name not in _FOR_WAITERS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        condition = _Condition()
        with _quiet:
            if not self._asked:
                self._condition, self._waiters = condition, []
                self._done_callbacks: list[Callable[[ThreadFuture[T]], object]] = []
                self._asked = True
        return object.__getattribute__(self, name)

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a future cannot be pickled: pass on its result()")

    def done(self) -> bool:
        return self._state not in (PENDING, RUNNING)

    def running(self) -> bool:
        return bool(self._state == RUNNING)

    def result(self, timeout: float | None = None) -> T:
        if self._state == FINISHED and self._exception is None:
            return self._result  # type: ignore[return-value]
        try:
            if super().exception(timeout) is None:
                return self._result  # type: ignore[return-value]
            raise with_frames(self._exception, self._frames)  # type: ignore[arg-type]
        finally:
            del self  # as there: the traceback of the error has this frame, which would hold who holds the error

    def set_running_or_notify_cancel(self) -> bool:
        return self._changed(PENDING, RUNNING) or super().set_running_or_notify_cancel()

    def set_result(self, result: T) -> None:
        if not self._changed(RUNNING, FINISHED, result):
            super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        if not self.done():
            self._frames = frames_of(exception)
        if not self._changed(RUNNING, FINISHED, None, exception):
            super().set_exception(exception)

    def _changed(self, before: str, after: str, result: Any = None, exception: BaseException | None = None) -> bool:
        """Whether nobody has waited yet, and so the change is made."""
        with _quiet:
            if self._asked or self._state != before:
                return False
            self._result, self._exception, self._state = result, exception, after
            return True

    def add_done_callback(self, fn: Callable[[ThreadFuture[T]], object]) -> None:
        """Call `fn(future)` once this is done, on a thread that is there for callbacks; whatever it raises is logged.

        If this is done already, `fn` is called at once, by the caller.
        """
        if getattr(fn, "__module__", None) == asyncio.wrap_future.__module__:
            super().add_done_callback(lambda future: _tell_loop(fn, future))
        elif self.done():
            super().add_done_callback(fn)
        else:
            super().add_done_callback(lambda future: CALLBACKS.hand(fn, future))


def _tell_loop(fn: Callable[[ThreadFuture[T]], object], future: ThreadFuture[T]) -> None:
    """Wake an event loop, on the thread that has the outcome: asyncio's callback does no more, and somebody awaits."""
    try:
        fn(_awaitable(future))
    except BaseException:  # a loop of another make
        logger.exception("exception calling callback for %r", future)


def _awaitable(future: ThreadFuture[T]) -> ThreadFuture[T]:
    """This future; in the place of one that holds a `StopIteration`, one that asyncio can copy.

    It refuses that: before Python 3.12.3 in a callback of its own, so that whoever awaits would wait for ever. And
    one of a derived class would be the result of the `await`, not its error.
    """
    error = None if future.cancelled() else future.exception()
    if error is not None and isinstance(future, Future):
        with_frames(error, future._frames)  # asyncio keeps those that it has now
    if error is None or (told := raisable(error)) is error:
        return future
    other: ThreadFuture[T] = ThreadFuture()
    other.set_exception(told)
    return other


def begin(future: ThreadFuture[Any]) -> bool:
    """Whether its call is to be made: nobody has cancelled it, nor answered it in our place, as `set_result` lets
    anybody. That is said in the log; raised, it would end all other calls."""
    try:
        return future.set_running_or_notify_cancel()
    except RuntimeError:
        return False


def settle(future: ThreadFuture[Any], error: BaseException | None, value: Any = None) -> None:
    """End a future, with an error or a value. Whatever its waiters make of that, the next future gets its turn too."""
    try:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except BaseException:  # a boundary: a callback may raise anything
        logger.exception("A future's callback raised")
