"""How far a batch may be ahead: of its workers, and of a reader that takes its results in order."""

from __future__ import annotations

from collections import deque

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
        self._held: deque[int] = deque()

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
        """A chunk that ends before item `stop` leaves."""
        if self._ordered:
            self._held.append(stop)

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
        held = self._held
        while held and held[0] <= self.consumed:
            held.popleft()
        return len(held)
