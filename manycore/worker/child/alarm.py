"""Interrupts a thread that runs an item when its time is over: signals reach the main thread alone.

One watchdog thread keeps one deadline for each thread of the process and raises `Overdue` in the one whose time has
come, between two byte codes. It cannot interrupt C code: a thread that blocks there meets its limit when it comes back.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from manycore.errors import ItemTimeout

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class Overdue(ItemTimeout):
    """Raised in an item that runs on a thread; made without arguments, by the interpreter."""


class Alarm:
    """One item's limit. Either side claims it, once: the watchdog to strike, the item's thread to call it off."""

    __slots__ = ("_struck", "_unclaimed", "due", "thread")

    def __init__(self, due: float) -> None:
        self.due = due
        self.thread = threading.get_ident()
        self._unclaimed = [True]
        self._struck = threading.Event()

    def strike(self) -> None:
        """Raise `Overdue` in the item's thread, unless the item has ended."""
        if self._claim():
            _raise_in_thread(self.thread, Overdue)
            self._struck.set()

    def call_off(self) -> None:
        """Let nothing be raised after this, though `Overdue` may come out of it: then the item ended that late.

        What may or may not have been raised yet is raised here, and dropped. To take it back with a null pointer leaves
        CPython up to 3.12 looking for it at each step: slower by half (3.12), or without end under a profiler (3.11).
        """
        if not self._claim():
            self._struck.wait()
            try:
                _raise_in_thread(self.thread, Overdue)  # takes the place of one that waits
                while True:
                    pass
            except Overdue:
                return

    def hold(self) -> bool:
        """Let nothing be raised until `let_go`; False if it has been, or the item has ended."""
        return self._claim()

    def let_go(self) -> None:
        self._unclaimed.append(True)

    def _claim(self) -> bool:
        try:
            return self._unclaimed.pop()  # one atomic step: no lock that an exception could leave held
        except IndexError:
            return False


class Watchdog:
    """Strikes alarms when they are due. Its thread starts with the first one.

    A thread runs one item at a time: its next alarm takes the place of its last, so nothing is kept until it is due.
    """

    def __init__(self) -> None:
        self._alarms: dict[int, Alarm] = {}
        self._changed = threading.Condition()
        self._looks_at = float("inf")
        self._thread: threading.Thread | None = None

    def set(self, seconds: float) -> Alarm:
        """An alarm for the calling thread."""
        alarm = Alarm(monotonic() + seconds)
        with self._changed:
            self._alarms[alarm.thread] = alarm
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="manycore-watchdog", daemon=True)
                self._thread.start()
            elif alarm.due < self._looks_at:
                self._changed.notify()
        return alarm

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the limit of the calling thread's item stand still meanwhile."""
        alarm = self._alarms.get(threading.get_ident())
        if alarm is None or not alarm.hold():
            yield
            return
        with self._changed:  # nothing can be raised in here any more, nor again before the lock is free
            left, alarm.due = alarm.due - monotonic(), float("inf")
        try:
            yield
        finally:
            with self._changed:
                alarm.due = monotonic() + left
                self._alarms[alarm.thread] = alarm
                self._changed.notify()
                alarm.let_go()

    def _loop(self) -> None:
        while True:
            for alarm in self._due():
                alarm.strike()

    def _due(self) -> list[Alarm]:
        """Wait for the next alarms that are due, and forget them."""
        with self._changed:
            while True:
                now = monotonic()
                due = [alarm for alarm in self._alarms.values() if alarm.due <= now]
                if due:
                    for alarm in due:
                        del self._alarms[alarm.thread]
                    return due
                self._looks_at = min((alarm.due for alarm in self._alarms.values()), default=float("inf"))
                left = self._looks_at - now
                self._changed.wait(left if left < threading.TIMEOUT_MAX else None)


watchdog = Watchdog()
"""The one of this process; like `signal.setitimer`, it belongs to all its threads."""
