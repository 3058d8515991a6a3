"""Interrupts a thread that runs an item when its time is over: signals reach the main thread alone.

One watchdog thread serves all the threads of a process and raises `Overdue` in the one whose time has come, between
two byte codes. It cannot interrupt C code: a thread that blocks there meets its limit when it comes back.
"""

from __future__ import annotations

import ctypes
import heapq
import threading
from itertools import count
from time import monotonic

from manycore.errors import ItemTimeout

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
NOTHING = ctypes.py_object()
"""A null pointer: takes back what was not yet raised. `None` would be raised."""


class Overdue(ItemTimeout):
    """Raised in an item that runs on a thread; made without arguments, by the interpreter."""


class Alarm:
    """One item's limit. Either side claims it, once: the watchdog to strike, the item's thread to call it off."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._unclaimed = [True]
        self._struck = threading.Event()

    def strike(self) -> None:
        """Raise `Overdue` in the item's thread, unless the item has ended."""
        if self._claim():
            _raise_in_thread(self._thread, Overdue)
            self._struck.set()

    def call_off(self) -> None:
        """Let nothing be raised after this, though `Overdue` may come out of it: then the item ended that late."""
        if not self._claim():
            self._struck.wait()
            _raise_in_thread(self._thread, NOTHING)

    def _claim(self) -> bool:
        try:
            return self._unclaimed.pop()  # one atomic step: no lock that an exception could leave held
        except IndexError:
            return False


class Watchdog:
    """Strikes alarms when they are due. Its thread starts with the first one."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Alarm]] = []
        self._changed = threading.Condition()
        self._order = count()
        self._thread: threading.Thread | None = None

    def set(self, seconds: float) -> Alarm:
        """An alarm for the calling thread."""
        alarm = Alarm()
        with self._changed:
            heapq.heappush(self._due, (monotonic() + seconds, next(self._order), alarm))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="manycore-watchdog", daemon=True)
                self._thread.start()
            elif self._due[0][2] is alarm:
                self._changed.notify()
        return alarm

    def _loop(self) -> None:
        while True:
            self._next().strike()

    def _next(self) -> Alarm:
        with self._changed:
            while True:
                left = self._due[0][0] - monotonic() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left)


watchdog = Watchdog()
"""The one of this process; like `signal.setitimer`, it belongs to all its threads."""
