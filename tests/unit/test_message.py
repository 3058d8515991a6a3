"""`message`: chunks and blocks cross the wire unchanged, and blocks only into their own batch."""

from __future__ import annotations

from array import array
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import MessageRefused
from manycore.protocol import signing
from manycore.protocol.message import (
    LOST,
    Block,
    CallForm,
    Chunk,
    ItemOptions,
    new_chunk_id,
    open_block,
    open_chunk,
    seal_block,
    seal_chunk,
)
from manycore.protocol.parcel import Parcel, Program
from manycore.protocol.priority import PRIORITIES
from manycore.protocol.retry import Backoff
from manycore.protocol.signing import Keyring

RING = Keyring([b"a key of sixteen"])
backoffs = st.builds(Backoff, st.floats(0, 9), st.floats(1, 9), st.floats(0, 9), st.booleans())
options = st.builds(
    ItemOptions,
    st.sampled_from(get_args(CallForm)),
    st.integers(0, 9),
    backoffs,
    st.none() | st.floats(0.1, 9),
    priority=st.sampled_from(PRIORITIES),
)
chunks = st.builds(
    Chunk,
    id=st.text(),
    batch=st.text(),
    task=st.text(),
    function=st.none() | st.text(),
    options=options,
    first=st.integers(0),
    start=st.integers(0, 9),
    stop=st.integers(10, 20),
    payload_token=st.none() | st.text(),
    payload_digest=st.binary(),
    total=st.none() | st.integers(0),
    attempt=st.integers(1, 9),
    ephemeral=st.booleans(),
)
indices = st.builds(range, st.integers(0, 99), st.integers(100, 199)) | st.lists(st.integers(0))
blocks = st.builds(
    Block,
    batch=st.just("b"),
    chunk=st.text(),
    indices=indices,
    attempt=st.integers(1, 9),
    worker=st.text(),
    seconds=st.lists(st.floats(width=32, allow_nan=False)).map(lambda held: array("f", held)),
    errors=st.dictionaries(st.integers(0), st.binary()),
    cancelled=st.booleans(),
)


def chunk_of(start: int, stop: int, **changes: Any) -> Chunk:
    held: dict[str, Any] = {"first": 100, "total": 1000, **changes}
    return Chunk(
        "b.c", "b", "t", None, ItemOptions(), start=start, stop=stop, payload_token=None, payload_digest=b"", **held
    )


@given(chunks, st.binary())
def test_a_chunk_crosses_the_wire(chunk: Chunk, payload: bytes) -> None:
    opened, body = open_chunk(RING, seal_chunk(RING, chunk, payload))
    assert (opened, bytes(body)) == (chunk, payload)


@given(blocks, st.binary())
def test_a_block_crosses_the_wire(block: Block, values: bytes) -> None:
    opened, body = open_block(RING, seal_block(RING, block, values), "b")
    assert (opened, bytes(body)) == (block, values)


def test_the_limit_of_a_message_holds() -> None:
    sealed = seal_chunk(RING, chunk_of(0, 1), b"x" * 100)
    with pytest.raises(MessageRefused, match="the limit is 100"):
        open_chunk(RING, sealed, max_bytes=100)


@given(blocks)
def test_a_block_of_another_batch_is_refused(block: Block) -> None:
    with pytest.raises(MessageRefused, match="belongs to batch 'b', and was found in the stream of 'other'"):
        open_block(RING, seal_block(RING, block, b""), "other")


def test_a_chunk_is_no_block() -> None:
    with pytest.raises(MessageRefused):
        open_block(RING, seal_chunk(RING, chunk_of(0, 1), b""), "b")


def test_a_part_is_a_new_message_over_the_same_payload() -> None:
    chunk = chunk_of(0, 10)
    part = chunk.part(4, 7)
    assert (part.start, part.stop, len(part)) == (4, 7, 3)
    assert part.id != chunk.id
    assert (part.batch, part.first, part.attempt) == (chunk.batch, chunk.first, chunk.attempt)


def test_an_item_runs_again_alone() -> None:
    again = chunk_of(0, 10, attempt=2).again([3])
    assert (again.start, again.stop, again.attempt, again.postponed) == (3, 4, 3, 0)


def test_what_was_not_run_has_had_no_attempt() -> None:
    again = chunk_of(0, 10, attempt=2).again([3], postponed=True)
    assert (again.attempt, again.postponed) == (2, 1)


def test_items_moved_to_a_payload_of_their_own_keep_their_indices() -> None:
    moved = chunk_of(0, 10).part(4, 7).moved()
    assert (moved.start, moved.stop, list(moved.indices_of(0, 3))) == (0, 3, [104, 105, 106])


def test_indices_follow_the_first() -> None:
    chunk = chunk_of(0, 4)
    assert chunk.indices_of(2, 4) == range(102, 104)
    assert [chunk.index(position) for position in (2, 3)] == [102, 103]


def test_what_another_version_says_beside_is_left_out() -> None:
    head, payload = RING.open(signing.CHUNK, seal_chunk(RING, chunk_of(0, 4), b"items"))
    sealed = RING.seal(signing.CHUNK, head | {"colour": "blue"}, payload)
    assert open_chunk(RING, sealed)[0] == chunk_of(0, 4)


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        (chunk_of(0, 10), "items 100-109 of 1000, batch b"),
        (chunk_of(3, 4), "item 103 of 1000, batch b"),
        (chunk_of(0, 10, total=None), "items 100-109, batch b"),
        (chunk_of(3, 4, attempt=2), "item 103 of 1000, batch b, attempt 2"),
    ],
)
def test_what_flower_shows_as_arguments(chunk: Chunk, text: str) -> None:
    assert chunk.describe() == text


def test_chunk_ids_name_their_batch_and_differ() -> None:
    assert new_chunk_id("pi").startswith("pi.")
    assert new_chunk_id("pi") != new_chunk_id("pi")


def test_what_is_sent_again_is_suspect_and_a_part_of_it_is_not() -> None:
    """What is given away did not run: it is not what a process died of."""
    chunk = Chunk("b.c", "b", "t", None, ItemOptions(), 100, 0, 9, None, b"")
    again = Parcel(chunk, Program("t", "cpu"), b"").again(103, 106)
    assert (again.chunk.suspect, again.chunk.start, again.chunk.stop) == (LOST, 3, 6)
    assert not again.chunk.part(4, 6).suspect
