"""Rebuilds the values of a block, one by one, on a thread that can be relieved.

Unpickling is foreign code: it imports modules, takes any time, may never end. Whoever reads may then leave the value
at which it stands to the thread that stands there; another thread goes on with the next one, and with what comes after.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import replace

from manycore.client.lane import Lane
from manycore.errors import MessageRefused
from manycore.protocol import packing
from manycore.protocol.entries import Answered
from manycore.protocol.failure import load_error
from manycore.protocol.ledger import Sent
from manycore.protocol.message import Block
from manycore.protocol.pickling import is_ctrl_c
from manycore.protocol.ranges import RangeSet


class Shift:
    """One thread's time as the reader. It is relieved only while it rebuilds, and goes no further then."""

    def __init__(self) -> None:
        self.relieved = False
        self._lock = threading.Lock()
        self._rebuilding: Rebuilding | None = None

    @property
    def stands_at(self) -> tuple[Rebuilding, int] | None:
        """The value that is being rebuilt just now."""
        rebuilding = self._rebuilding
        return None if rebuilding is None else (rebuilding, rebuilding.place)

    def rebuild(self, rebuilding: Rebuilding) -> list[Sent]:
        """Rebuild what nobody has begun with; gives the chunks that this finished."""
        self._rebuilding = rebuilding
        rebuilding.go_on(self)
        with self._lock:
            self._rebuilding = None
        return rebuilding.tell()

    def relieve(self, place: tuple[Rebuilding, int]) -> bool:
        """End this shift if it still stands there."""
        with self._lock:
            self.relieved = self.stands_at == place
            return self.relieved


class Rebuilding:
    """What one block of outcomes holds: its values and errors, each rebuilt once, each told once."""

    def __init__(self, lane: Lane, answered: Answered) -> None:
        """Raises `MessageRefused` for a block that does not hold together."""
        self._lane = lane
        self._block = block = answered.block
        self._values, separate = packing.opened(answered.body)
        count = len(block.indices)
        if len(self._values) != count:
            raise MessageRefused(f"it has {len(self._values)} values for {count} items")
        places = range(count) if separate else sorted(block.errors)
        self._left = iter(places)
        self._errors: dict[int, BaseException] = {}
        self._open = bytearray(b"\1" * count if separate else count)
        for place in block.errors:
            self._open[place] = 1
        self._told = RangeSet()
        self._telling = threading.Lock()
        self.place = -1
        """Of the value that was begun last."""
        if places:
            lane.custody.arriving[self] = block.indices

    def name(self, place: int) -> str:
        """Which item that is, for people."""
        return f"{self._block.indices[place]} of batch {self._block.batch}"

    def go_on(self, shift: Shift) -> None:
        """Rebuild what nobody has begun with, until that shift is relieved."""
        values, errors, packed = self._values, self._errors, self._block.errors
        for place in self._left:  # one iterator for all: none is begun twice
            self.place = place
            blob, values[place] = values[place], None  # a pickle goes as soon as it is read
            try:
                if place in packed:
                    errors[place] = load_error(packed[place])
                else:
                    values[place] = packing.rebuilt(blob, "The result")
            except BaseException as exc:
                if is_ctrl_c(exc):
                    raise  # a Ctrl-C while a program attaches to a batch is no outcome of an item
                errors[place] = exc
            self._open[place] = 0
            if shift.relieved:
                return

    def tell(self) -> list[Sent]:
        """Give the lane what is rebuilt and was not told yet; gives the chunks that this finished."""
        with self._telling:
            spans = [fresh for start, stop in self._ready() for fresh in self._told.add(start, stop)]
            whole = len(self._told) == len(self._values)
        finished = [sent for span in spans for sent in self._tell(span)]
        if whole:
            self._lane.custody.arriving.pop(self, None)
        return finished

    def _ready(self) -> list[tuple[int, int]]:
        """The positions between those that are not rebuilt."""
        spans, start, count = [], 0, len(self._values)
        while start < count:
            hole = self._open.find(1, start)
            stop = hole if hole >= 0 else count
            spans.append((start, stop))
            start = stop + 1
        return spans

    def _tell(self, span: range) -> list[Sent]:
        if len(span) == len(self._values):
            return self._lane.arrived(self._block, self._values, self._errors)
        start, stop = span.start, span.stop
        errors = {place - start: self._errors[place] for place in span if place in self._errors}
        return self._lane.arrived(_part(self._block, start, stop), self._values[start:stop], errors)


def _part(block: Block, start: int, stop: int) -> Block:
    """The outcomes at these positions of a block; what its errors hold is rebuilt already."""
    return replace(block, indices=block.indices[start:stop], seconds=array("f", block.seconds[start:stop]), errors={})
