"""Which large objects outlive their `Ref`: those that named batches need. It keeps the book, and frees nothing.

A batch needs what it was passed until it is deleted, by whomever, or gone from the server with its TTL; the argument
of one item alone, only until all of that item's chunk have results.
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

    def let_go(self, batch: str, names: Iterable[str] | None = None) -> list[str]:
        """This batch needs these no more, by default nothing at all; gives what now no batch needs."""
        with self._lock:
            wanted = self._needed_by.keys() if names is None else self._needed_by.keys() & set(names)
            for name in wanted:
                self._needed_by[name].discard(batch)
            freed = [name for name in wanted if not self._needed_by[name]]
            for name in freed:
                del self._needed_by[name]
            return freed
