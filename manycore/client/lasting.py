"""Which large objects outlive their `Ref`: those that named batches need. It keeps the book, and frees nothing.

A batch needs what it was passed until it is deleted, by whomever, or gone from the server with its TTL.
"""

from __future__ import annotations

from collections.abc import Iterable

from manycore.client.locks import Rank, RankedLock


class Lasting:
    """Of one client. Threads may share it."""

    def __init__(self) -> None:
        self._needed_by: dict[str, set[str]] = {}
        self._lock = RankedLock(Rank.LEAF)

    def __bool__(self) -> bool:
        return bool(self._needed_by)

    def __contains__(self, name: str) -> bool:
        return name in self._needed_by

    def batches(self) -> list[str]:
        """Those that need anything."""
        with self._lock:
            return list(set().union(*self._needed_by.values()))

    def add(self, names: Iterable[str], batch: str) -> None:
        """This batch needs these."""
        with self._lock:
            for name in names:
                self._needed_by.setdefault(name, set()).add(batch)

    def share(self, batch: str, other: str) -> None:
        """Another batch needs what this one does."""
        with self._lock:
            for batches in self._needed_by.values():
                if batch in batches:
                    batches.add(other)

    def let_go(self, batch: str) -> list[str]:
        """This batch needs nothing any more; gives what now no batch needs."""
        with self._lock:
            for batches in self._needed_by.values():
                batches.discard(batch)
            freed = [name for name, batches in self._needed_by.items() if not batches]
            for name in freed:
                del self._needed_by[name]
            return freed
