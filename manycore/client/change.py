"""What threads wait for: a change of which another one tells. Nothing here can be left held.

A `threading.Condition` is written in Python: Ctrl-C between its lock and its `with` leaves it held, and from then on
who has something to tell waits for ever. Here every step is one of C, and no lock stands around what is looked at. So
any caller may tell, however interrupted, and so may a finalizer or a signal handler.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


class Change:
    """Who tells makes the change first; who waits looks whether it is there, and is woken to look again."""

    __slots__ = ("_bells",)

    def __init__(self) -> None:
        self._bells: list[threading.Lock] = []
        """One for each thread that waits: held until it rings."""

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._bells)

    def tell(self) -> None:
        """Have all who wait look again."""
        for bell in tuple(self._bells):
            if bell.locked():
                with suppress(RuntimeError):  # another thread has rung it just now
                    bell.release()

    def wait_for(self, look: Callable[[], T], seconds: float | None = None) -> T:
        """Wait until `look` gives something true, `seconds` at most; gives what it gave. Raises what `look` does."""
        if found := look():
            return found
        deadline = None if seconds is None else monotonic() + seconds
        bell = threading.Lock()
        bell.acquire()
        self._bells.append(bell)
        try:
            # Looked at once more: what came before the bell was there has not rung it.
            while not (found := look()):
                left = threading.TIMEOUT_MAX if deadline is None else deadline - monotonic()
                if not bell.acquire(timeout=min(max(left, 0.0), threading.TIMEOUT_MAX)):
                    return look()
            return found
        finally:
            self._bells.remove(bell)
