"""The chunking policies keep their bounds for any input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.client import chunking
from manycore.worker.child import splitting

sizes = st.integers(1, 10**9)
slots = st.integers(0, 10_000)
item_bytes = st.just(0.0) | st.floats(1e-3, 1e12)
seconds = st.floats(0, 1e6)


@given(sizes, slots, item_bytes)
def test_a_chunk_has_at_least_one_item_and_no_more_than_there_are(total: int, slots: int, size: float) -> None:
    assert 1 <= chunking.chunk_items(total, slots, size) <= min(total, chunking.MAX_CHUNK_ITEMS)


@given(st.integers(0, 10**6), seconds, item_bytes)
def test_a_pulled_chunk_at_most_doubles(previous: int, seconds: float, size: float) -> None:
    items = chunking.pulled_items(previous, seconds, size)
    assert 1 <= items <= min(max(1, previous) * 2, chunking.MAX_CHUNK_ITEMS)


@given(item_bytes)
def test_several_items_stay_below_the_bound_in_bytes(size: float) -> None:
    items = chunking.bounded_items(size)
    assert items == 1 or items * size <= chunking.MAX_CHUNK_BYTES


@given(sizes, slots, st.floats(1, 1e12))
def test_both_kinds_of_chunks_keep_the_bound_in_bytes(total: int, slots: int, size: float) -> None:
    assert chunking.chunk_items(total, slots, size) <= chunking.bounded_items(size)
    assert chunking.pulled_items(total, 1e-9, size) <= chunking.bounded_items(size)


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_a_sized_input_makes_a_few_chunks_for_each_slot(total: int, slots: int) -> None:
    chunks = -(-total // chunking.chunk_items(total, slots))
    assert chunks <= slots * chunking.CHUNKS_PER_SLOT
    assert chunks > min(total, slots) // 2  # the rest get theirs by the first split, a few milliseconds later
    assert total > slots * chunking.SMALL_SHARE or chunks <= slots


def test_a_lazy_input_starts_with_one_item() -> None:
    assert chunking.pulled_items(500, None) == 1


@given(st.floats(1e-6, 10))
def test_a_lazy_inputs_chunks_grow_to_a_share_of_a_second(seconds_per_item: float) -> None:
    size = 1
    for _ in range(20):
        size = chunking.pulled_items(size, seconds_per_item)
    assert size == 1 or size * seconds_per_item <= chunking.PULLED_CHUNK_SECONDS
    assert size == chunking.MAX_CHUNK_ITEMS or (size + 1) * seconds_per_item >= chunking.PULLED_CHUNK_SECONDS


@given(st.integers(0, 10**6), st.integers(0, 10**6), seconds)
def test_half_or_nothing_is_given(pending: int, done: int, elapsed: float) -> None:
    assert splitting.items_to_give(pending, done, elapsed) in (0, (pending + 1) // 2)


@pytest.mark.parametrize(("pending", "given"), [(0, 0), (1, 1), (2, 1), (3, 2), (100, 50)])
def test_the_larger_half_is_given(pending: int, given: int) -> None:
    assert splitting.items_to_give(pending, 0, 10.0) == given


def test_less_work_than_a_message_costs_is_kept() -> None:
    enough = splitting.MIN_SPLIT_SECONDS
    assert splitting.items_to_give(10, 9, enough * 1.01) == 5
    assert splitting.items_to_give(10, 9, enough * 0.99) == 0


def test_a_long_item_after_many_short_ones_tells_what_may_follow() -> None:
    """In the mean of all it is lost: five more of 0.4 s ran one after the other, beside an idle slot."""
    assert splitting.items_to_give(5, 20_000, 0.5) == 0
    assert splitting.items_to_give(5, 20_000, 0.5, seconds_at_one=0.05) == 3


@given(slots)
def test_the_window_lets_every_slot_work(slots: int) -> None:
    assert chunking.window_chunks(slots) > slots


@given(tick=st.floats(0.004, 0.05), slots=st.integers(1, 512))
def test_a_child_looks_the_less_often_the_more_neighbours_it_has(tick: float, slots: int) -> None:
    wanted, calm = (splitting.seconds_to_look(tick, slots, idle=idle) for idle in (True, False))
    assert 0 <= wanted <= splitting.seconds_to_look(tick, slots + 1, idle=True)
    assert wanted < calm <= splitting.seconds_to_look(tick, slots + 1, idle=False)
    assert wanted == 0 or slots > splitting.LOOKING_SLOTS
