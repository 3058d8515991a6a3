"""`RangeSet` is a set of integers: a Python set is its model."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from manycore.protocol.ranges import RangeSet

spans = st.builds(lambda start, size: (start, start + size), st.integers(0, 60), st.integers(0, 12))


def flat(parts: Iterable[range]) -> list[int]:
    return [value for part in parts for value in part]


def filled(added: Iterable[tuple[int, int]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for start, stop in added:
        ranges.add(start, stop)
        model |= set(range(start, stop))
    return ranges, model


@given(st.lists(spans), spans)
def test_add_gives_what_was_not_there_in_order(before: list[tuple[int, int]], span: tuple[int, int]) -> None:
    ranges, model = filled(before)
    assert flat(ranges.add(*span)) == sorted(set(range(*span)) - model)


@given(st.lists(spans))
def test_it_holds_what_was_added(added: list[tuple[int, int]]) -> None:
    ranges, model = filled(added)
    assert len(ranges) == len(model)
    assert [value for value in range(-1, 80) if value in ranges] == sorted(model)


@given(st.lists(spans), spans)
def test_missing_is_what_add_would_give(before: list[tuple[int, int]], span: tuple[int, int]) -> None:
    ranges, model = filled(before)
    assert flat(ranges.missing(*span)) == sorted(set(range(*span)) - model)
    assert len(ranges) == len(model)


@given(st.lists(spans), spans)
def test_parts_are_as_long_as_can_be(before: list[tuple[int, int]], span: tuple[int, int]) -> None:
    ranges, _ = filled(before)
    parts = ranges.add(*span)
    assert all(left.stop < right.start for left, right in pairwise(parts))
    assert all(parts)


def test_a_gapless_set_costs_one_range() -> None:
    order = Random(1).sample(range(5_000), 5_000)
    ranges, _ = filled((value, value + 1) for value in order)
    assert len(pickle.dumps(ranges)) < 200


@given(st.lists(spans), spans)
def test_common_is_what_is_not_missing(before: list[tuple[int, int]], span: tuple[int, int]) -> None:
    ranges, model = filled(before)
    parts = ranges.common(*span)
    assert flat(parts) == sorted(set(range(*span)) & model)
    assert all(parts)
