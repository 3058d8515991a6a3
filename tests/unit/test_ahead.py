"""`items_ahead`: short items are never held back, long ones soon."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manycore.worker.child.ahead import AHEAD_SECONDS, FREE_SECONDS, items_ahead

elapsed = st.floats(FREE_SECONDS, 1e6)


@given(st.floats(0, FREE_SECONDS, exclude_max=True))
def test_at_first_nothing_is_held_back(seconds: float) -> None:
    assert items_ahead(0, seconds) > 10**9


@given(st.integers(0, 10**7), elapsed)
def test_one_more_may_always_begin(done: int, seconds: float) -> None:
    assert items_ahead(done, seconds) >= 1


@given(st.integers(0, 10**7), elapsed)
def test_it_is_so_much_work_and_no_more(done: int, seconds: float) -> None:
    a_second = (done + 1) / seconds
    assert items_ahead(done, seconds) <= AHEAD_SECONDS * a_second + 1
