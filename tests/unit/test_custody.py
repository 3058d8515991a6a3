"""`Custody`: what it takes for lost."""

from __future__ import annotations

from manycore.protocol.custody import Custody
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.parcel import Parcel, Program
from manycore.protocol.ranges import RangeSet


def test_what_was_sent_again_is_not_lost_before_it_was_missed_twice_more() -> None:
    custody, nothing = Custody(), RangeSet()
    chunk = Chunk("c", "b", "task", None, ItemOptions(), 0, 0, 4, None, b"")
    custody.ledger.send("c", 4, 10, None, Parcel(chunk, Program("task", "cpu"), b""))
    looks = [[part for _, part in custody.lost(nothing)] for _ in range(4)]
    assert looks == [[], [range(4)], [], [range(4)]]


def test_what_is_being_rebuilt_is_not_lost() -> None:
    custody = Custody()
    chunk = Chunk("c", "b", "task", None, ItemOptions(), 0, 0, 6, None, b"")
    custody.ledger.send("c", 6, 10, None, Parcel(chunk, Program("task", "cpu"), b""))
    custody.arriving.update({"one": range(2), "another": [3, 5]})
    assert [[part for _, part in custody.lost(RangeSet())] for _ in range(2)] == [[], [range(2, 3), range(4, 5)]]
