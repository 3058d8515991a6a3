"""`Tally`: what came out of items is there until it is in a report."""

from __future__ import annotations

from typing import Any

import pytest

from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker.child import tally
from manycore.worker.child.tally import Tally

CHUNK = Chunk("b.c", "b", "t", None, ItemOptions(), 0, 0, 3, None, b"")


def test_a_report_that_cannot_be_made_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item may have taken all the memory that there is."""
    mine, same = Tally(CHUNK), Tally(CHUNK)
    for each in (mine, same):
        each.values += ["a", None, None]
        each.seconds.extend([1.0, 2.0, 3.0])
        each.errors[1], each.names[1] = b"error", "KeyError"
        each.retry.append(2)

    def full(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(tally, "Report", full)
        with pytest.raises(MemoryError):
            mine.take_report()
    assert (mine.done, mine.unreported) == (3, 3)
    assert mine.take_report() == same.take_report()
    assert (mine.ok, mine.failed, mine.errors, mine.names) == (1, 1, {}, {})
