"""`tasks.collatz` finds the record chains, however the range is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.collatz import longest, longest_collatz


@pytest.mark.parametrize(
    ("number", "steps"), [(1, 0), (2, 1), (3, 7), (27, 111), (97, 118), (837_799, 524), (63_728_127, 949)]
)
def test_known_chains(number: int, steps: int) -> None:
    assert longest_collatz(number, number + 1) == (number, steps)


@pytest.mark.parametrize(
    ("stop", "number", "steps"), [(10, 9, 19), (100, 97, 118), (10**3, 871, 178), (10**4, 6_171, 261)]
)
def test_known_records_below_powers_of_ten(stop: int, number: int, steps: int) -> None:
    assert longest_collatz(1, stop) == (number, steps)


def test_the_record_below_a_million_in_its_neighbourhood() -> None:
    assert longest_collatz(837_000, 838_000) == (837_799, 524)


def test_the_smallest_number_wins_a_tie() -> None:
    assert longest_collatz(12, 14) == (12, 9)  # 12 and 13 both take 9 steps
    assert longest([(13, 9), (12, 9)]) == (12, 9)


@given(st.integers(1, 2_000), st.integers(1, 200), st.integers(1, 200))
def test_any_cut_finds_the_same_chain(start: int, left: int, right: int) -> None:
    middle, stop = start + left, start + left + right
    parts = [longest_collatz(middle, stop), longest_collatz(start, middle)]
    assert longest(parts) == longest_collatz(start, stop)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (-3, 5), (5, 5), (6, 5)])
def test_bad_ranges_are_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="No Collatz chain starts"):
        longest_collatz(start, stop)


def test_no_chains_have_no_longest() -> None:
    with pytest.raises(ValueError, match="Was the batch empty"):
        longest([])
