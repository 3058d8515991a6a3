"""`tasks.primes` counts right, however the range is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import primes
from tasks.primes import MAX_STOP, count_primes, segments


@pytest.mark.parametrize(("limit", "count"), [(10, 4), (10**2, 25), (10**3, 168), (10**6, 78_498), (10**7, 664_579)])
def test_known_counts_below_powers_of_ten(limit: int, count: int) -> None:
    assert count_primes(0, limit) == count


@given(st.integers(0, 3_000), st.integers(0, 300))
def test_agrees_with_trial_division(start: int, length: int) -> None:
    def is_prime(n: int) -> bool:
        return n > 1 and all(n % d for d in range(2, n))

    assert count_primes(start, start + length) == sum(map(is_prime, range(start, start + length)))


@given(st.lists(st.integers(0, 50_000), min_size=2).map(sorted))
def test_any_partition_counts_the_whole(cuts: list[int]) -> None:
    assert sum(count_primes(a, b) for a, b in pairwise(cuts)) == count_primes(cuts[0], cuts[-1])


@pytest.mark.parametrize("window", [1, 2, 7, 1_000])
def test_the_window_does_not_matter(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primes, "WINDOW", window)
    assert count_primes(0, 10_000) == 1_229


def test_far_ranges_need_no_near_ones() -> None:
    assert count_primes(10**12, 10**12 + 1_000) == 37


@pytest.mark.parametrize(("start", "stop"), [(-1, 10), (10, 9), (0, MAX_STOP + 1)])
def test_bad_ranges_are_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="Cannot count primes"):
        count_primes(start, stop)


@given(st.integers(0, 1_000), st.integers(0, 10_000), st.integers(1, 200))
def test_segments_cover_the_range_once_and_evenly(start: int, length: int, pieces: int) -> None:
    cut = segments(start + length, pieces, start=start)
    assert len(cut) == pieces
    assert [n for a, b in cut for n in range(a, b)] == list(range(start, start + length))
    sizes = {b - a for a, b in cut}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("limit", "pieces", "start"), [(10, 0, 0), (10, -1, 0), (4, 2, 5)])
def test_impossible_cuts_are_refused(limit: int, pieces: int, start: int) -> None:
    with pytest.raises(ValueError, match=r"pieces|reversed"):
        segments(limit, pieces, start=start)
