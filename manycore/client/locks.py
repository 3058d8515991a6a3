"""Locks that know their rank: who holds one may take only those of a higher rank, and none under the highest.

Two threads that take two locks in both orders freeze the whole client, once in a thousand runs. So the order is fixed
here, and where it is checked (`checked`, as in the tests) the first step out of it raises, in every run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import TracebackType
from typing import Any


class Rank(IntEnum):
    """From the outermost to the innermost. Under those of the highest rank no other lock is taken at all."""

    SUBMITS = 1
    SESSION = 2
    DISPATCHER = 3
    LEAF = 4


class OutOfOrder(AssertionError):
    """A lock was taken under one of its own or of a higher rank: two threads may come to wait for each other."""


_held = threading.local()
_checking = False


@contextmanager
def checked() -> Iterator[None]:
    """Raise `OutOfOrder` for each step out of the order meanwhile."""
    global _checking
    before, _checking = _checking, True
    try:
        yield
    finally:
        _checking = before


class RankedLock:
    """A `threading.Lock` with a rank; it can be a `Condition`'s. Made where nothing is checked, it is a plain one:
    Ctrl-C between a lock of Python's own making and its `with` would leave it held for ever."""

    __slots__ = ("_lock", "_rank")

    def __new__(cls, rank: Rank) -> Any:
        return super().__new__(cls) if _checking else threading.Lock()

    def __init__(self, rank: Rank) -> None:
        self._lock = threading.Lock()
        self._rank = rank

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if _checking and blocking:
            self._check()
        got = self._lock.acquire(blocking, timeout)
        if _checking and got:
            _ranks().append(self._rank)
        return got

    def release(self) -> None:
        if _checking and self._rank in _ranks():
            _ranks().remove(self._rank)
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _check(self) -> None:
        above = [rank for rank in _ranks() if rank >= self._rank]
        if above:
            raise OutOfOrder(f"A lock of rank {self._rank.name} is taken under one of rank {above[-1].name}.")


def alone(turn: Any, step: Callable[[], object]) -> bool:
    """Run `step` under the `turn` (an `RLock`) if nobody has it, this thread neither; says whether it did so.

    Ctrl-C at any moment leaves the turn free: nothing remembers whether it was taken, the lock itself knows.
    """
    if turn._is_owned():
        return False
    try:
        if not turn.acquire(blocking=False):
            return False
        step()
        return True
    finally:
        try:  # noqa: SIM105 - `suppress` is written in Python: Ctrl-C could come before the release
            turn.release()
        except RuntimeError:  # it was not taken
            pass


def _ranks() -> list[Rank]:
    """What this thread holds, by rank."""
    if not hasattr(_held, "ranks"):
        _held.ranks = []
    ranks: list[Rank] = _held.ranks
    return ranks
