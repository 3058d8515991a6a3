"""How far a batch may be ahead: of its workers, and of a reader that takes its results in order."""

from __future__ import annotations

from bisect import bisect_right

from manycore.client import chunking
from manycore.protocol.ledger import Ledger


class Window:
    """The dispatcher asks whether it is open, and says what leaves; an ordered reader says how far it is."""

    def __init__(self, *, ordered: bool = False) -> None:
        self.consumed = 0
        """How many items the ordered reader has taken: written by its thread, read by the dispatcher."""
        self.has_reader = False
        """Whether anybody has begun to read in order."""
        self._ordered = ordered
        self._unbounded = False
        self._held: list[int] = []
        """Where chunks end that were not consumed when the last one left. Replaced, never changed: others count."""

    @property
    def ordered(self) -> bool:
        """Whether somebody reads in order, and so holds back what comes behind."""
        return self._ordered

    def is_open(self, ledger: Ledger, slots: int) -> bool:
        if self._unbounded:
            return True
        unfinished = max(ledger.open_chunks, self._held_chunks())
        if unfinished <= slots:
            return True  # however large they are: else slots would be idle
        return unfinished < chunking.window_chunks(slots) and ledger.open_bytes < chunking.WINDOW_BYTES

    def left(self, stop: int) -> None:
        """A chunk that ends before item `stop` leaves; told by one thread at a time."""
        if self._ordered:
            self._held = [*self._held[bisect_right(self._held, self.consumed) :], stop]

    def open_wide(self, wide: bool = True) -> None:
        """Let everything leave, as the batch is to be handed over whole; or, if that came to nothing, no more."""
        self._unbounded = wide

    def stop_holding(self) -> None:
        """The reader may never come for the rest: what it has not read holds nothing back any more."""
        self._ordered = False

    def _held_chunks(self) -> int:
        """How many chunks hold items that an ordered reader has not consumed."""
        if not self._ordered:
            return 0
        held = self._held  # looked at by several threads, without a lock
        return len(held) - bisect_right(held, self.consumed)
