"""Retries: the items of each batch together, under a name that says where they come from and is a batch id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from manycore.client.checks import BATCH_ID
from manycore.protocol.again import _parcel, new_batch_id
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.record import Record
from manycore.quarantine.poison import Poison
from manycore.quarantine.reprieve import _part, by_batch
from manycore.worker.parent.refusals import _CLAIMED_ID

names = st.from_regex(r"[A-Za-z0-9_:-]{1,120}", fullmatch=True)


def item(batch: str, index: int) -> Poison:
    chunk = Chunk("c", batch, "t", None, ItemOptions(), index, 0, 1, None, b"")
    return Poison(0.0, chunk, "cpu", None, "", 3, "", 0, b"", None)


@given(names)
def test_the_new_name_is_one_that_a_batch_may_have(old: str) -> None:
    new = new_batch_id(old)
    assert new.startswith(old[:90])
    assert BATCH_ID.fullmatch(new)
    assert _CLAIMED_ID.fullmatch(f"{new}.0123456789ab")


def test_a_retry_of_a_retry_grows_no_longer() -> None:
    once = new_batch_id("night")
    again = new_batch_id(once)
    assert once != again
    assert len(once) == len(again)
    assert again.startswith("night:retry-")


def test_items_come_by_batch_in_the_order_of_its_input() -> None:
    groups = by_batch([item("b", 3), item("a", 9), item("b", 1)])
    assert [[(one.chunk.batch, one.chunk.first) for one in group] for group in groups] == [
        [("a", 9)],
        [("b", 1), ("b", 3)],
    ]
    assert by_batch([]) == []


def test_it_begins_anew() -> None:
    """Nothing of how the item came to its end counts against it."""
    old = item("night", 7)
    tried = replace(old, chunk=replace(old.chunk, attempt=6, suspect="?", ephemeral=True))
    record = Record(cast(Any, None), cast(Any, None), "new", 60)
    record.mark = "life"
    chunk = _parcel(record, 0, 1, _part(tried)).chunk
    assert (chunk.batch, chunk.mark, chunk.first, chunk.attempt) == ("new", "life", 0, 1)
    assert not chunk.suspect
    assert not chunk.ephemeral
