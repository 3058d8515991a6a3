"""How long the items of a function took lately, batch by batch: a small one that is short goes as one message.

A hint, no more. Who is wrong about it loses little: a worker gives away half of what it has after some milliseconds,
but for an item that holds the GIL in C code. So one short batch is no sign yet, two in a row are.
"""

from __future__ import annotations

from collections import OrderedDict

from manycore.client.locks import Rank, RankedLock
from manycore.protocol.parcel import Program

MAX_KNOWN = 256
ENOUGH = 2
"""So many short batches in a row are a sign."""
FEW_ITEMS = 200
"""What each item costs beside its own time counts too, with more of them."""
SHORT_SECONDS = 0.002
"""A batch that takes no longer than this in all is over before a second message has reached its slot."""


class Pace:
    """Of one session, by task and function. Written by threads that have outcomes, read by callers."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str | None], tuple[int, float]] = OrderedDict()
        self._lock = RankedLock(Rank.LEAF)

    def note(self, program: Program, seconds_per_item: float, items: int) -> None:
        """A batch of this program has ended."""
        key = program.task, program.digest
        with self._lock:
            count, longest = self._known.pop(key, (0, 0.0))
            if seconds_per_item * items > SHORT_SECONDS:
                return
            self._known[key] = min(count + 1, ENOUGH), max(longest / 2, seconds_per_item)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def is_short(self, program: Program, items: int) -> bool:
        """Whether so many items of this program are likely to take no longer than a message."""
        count, seconds = self._known.get((program.task, program.digest), (0, 0.0))
        return count >= ENOUGH and items <= FEW_ITEMS and seconds * items <= SHORT_SECONDS
