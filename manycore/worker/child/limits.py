"""A time limit for each item: first an exception inside it, then the end of its process.

Soft: `SIGALRM` raises `ItemTimeout` in the item, between two byte codes. Hard: `faulthandler`'s watchdog, a C thread
that needs no GIL, dumps every stack and exits, so the limit holds inside C code too; the parent then finds the trace in
the black box. Items on other threads than the main one (the `io` fleet) have a soft limit alone (`alarm`): their
process runs the items of others too.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import BinaryIO

from manycore.errors import ItemTimeout
from manycore.worker.child.alarm import Overdue, watchdog
from manycore.worker.strikes import HARD_GRACE_SECONDS

TIMERS = (
    (signal.ITIMER_REAL, signal.SIGALRM),
    (signal.ITIMER_VIRTUAL, signal.SIGVTALRM),
    (signal.ITIMER_PROF, signal.SIGPROF),
)
"""Those of a process, each with the signal that it sends."""
SLACK_SECONDS = 0.5
"""How much of it an item may have less. To arm the watchdog takes a new thread, 0.1 ms and more on a busy core: so one
arming serves all the items that begin within this time."""


class HardLimit:
    """The watchdog of this process. It stays armed between items; whoever waits for anything else disarms it first."""

    def __init__(self) -> None:
        self._strikes_at = float("-inf")

    def arm(self, seconds: float, trace: BinaryIO) -> None:
        """Let it strike in `seconds` and the grace, at most `SLACK_SECONDS` sooner."""
        latest = seconds + HARD_GRACE_SECONDS
        if not latest - SLACK_SECONDS <= self._strikes_at - monotonic() <= latest:
            self._strike_in(latest, trace)

    def settle(self) -> None:
        """An item has ended. If its limit is over, that strikes now, under the item's note, or never: a process that
        was frozen finds out late, and would be ended as the next item runs."""
        if self._strikes_at - monotonic() < SLACK_SECONDS:
            self.disarm()

    def disarm(self) -> None:
        """No item runs now."""
        if self._strikes_at > 0:
            faulthandler.cancel_dump_traceback_later()
            self._strikes_at = float("-inf")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let it not strike meanwhile, and as much later."""
        left = self._strikes_at - monotonic()
        self.disarm()
        try:
            yield
        finally:
            if left > float("-inf"):
                self._strike_in(max(left, SLACK_SECONDS), self._trace)

    def forget(self) -> None:
        """This process is a copy, without the watchdog's thread: to call that off would wait for it for ever."""
        self._strikes_at = float("-inf")

    def _strike_in(self, seconds: float, trace: BinaryIO) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
        self._trace = trace
        self._strikes_at = monotonic() + seconds


hard_limit = HardLimit()
"""The one of this process, as `faulthandler` has one."""
os.register_at_fork(after_in_child=hard_limit.forget)


def rest() -> None:
    """No item runs now: end its limit, and what it may have left."""
    hard_limit.disarm()
    end_timers()


def end_timers() -> None:
    """End those that an item has set and left: a handler that raises would do so in our code, or in the next item's.
    Those whose signal C code handles stay: it cannot raise, and is a profiler's."""
    if threading.current_thread() is threading.main_thread():
        for timer, ends in TIMERS:
            if any(signal.getitimer(timer)) and signal.getsignal(ends) is not None:
                signal.setitimer(timer, 0)


@contextmanager
def time_limit(seconds: float, trace: BinaryIO) -> Iterator[None]:
    """Bound the enclosed item to `seconds`; `trace` receives the stacks when the hard limit strikes.

    `hard_limit.disarm()` has to follow, at once or after further items.
    """
    bound = _bound_process if threading.current_thread() is threading.main_thread() else _bound_thread
    with bound(seconds, trace):
        yield


@contextmanager
def uncounted() -> Iterator[None]:
    """Let the limit of this thread's item, if it has one, stand still meanwhile: the item waits, for no fault of its
    own. An alarm that the item has set itself goes on."""
    if threading.current_thread() is not threading.main_thread():
        with watchdog.held():
            yield
    elif isinstance(signal.getsignal(signal.SIGALRM), _Interrupt):
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            with hard_limit.held():
                yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, left)
    else:
        yield


class _Interrupt:
    """Our handler of the alarm."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        raise ItemTimeout(self._seconds, "")


@contextmanager
def _bound_process(seconds: float, trace: BinaryIO) -> Iterator[None]:
    hard_limit.arm(seconds, trace)
    previous = signal.signal(signal.SIGALRM, _Interrupt(seconds))
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # apart: until the timer is off, the alarm can still strike in the `finally` above
        hard_limit.settle()
        # None: a handler that C code had put there, which cannot be put back from here
        signal.signal(signal.SIGALRM, signal.SIG_DFL if previous is None else previous)


@contextmanager
def _bound_thread(seconds: float, _trace: BinaryIO) -> Iterator[None]:
    alarm = watchdog.set(seconds)
    try:
        try:
            yield
        finally:
            alarm.call_off()
    except Overdue as exc:
        raise ItemTimeout(seconds, "").with_traceback(exc.__traceback__) from None
