"""`Backoff` doubles up to its maximum, and its jitter stays below."""

from __future__ import annotations

from dataclasses import astuple
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import SettingsError
from manycore.protocol.retry import DEFAULT_BACKOFF, Backoff, backoff_of

attempts = st.integers(1, 10**6)
backoffs = st.builds(Backoff, st.floats(0, 1e3), st.floats(1, 1e308), st.floats(0, 1e5), st.booleans())


@given(backoffs, attempts)
def test_the_bound_keeps_the_maximum(backoff: Backoff, attempt: int) -> None:
    assert 0 <= backoff.bound(attempt) <= backoff.maximum


@given(backoffs, attempts)
def test_the_bound_never_shrinks(backoff: Backoff, attempt: int) -> None:
    assert backoff.bound(attempt) <= backoff.bound(attempt + 1)


@given(backoffs, attempts, st.floats(0, 1, exclude_max=True))
def test_the_delay_is_a_draw_below_the_bound(backoff: Backoff, attempt: int, draw: float) -> None:
    delay = backoff.delay(attempt, lambda: draw)
    assert delay == backoff.bound(attempt) * (draw if backoff.jitter else 1)


def test_waits_double_by_default() -> None:
    assert [DEFAULT_BACKOFF.bound(attempt) for attempt in (1, 2, 3, 8, 9)] == [0.5, 1.0, 2.0, 60.0, 60.0]


@given(attempts)
def test_real_draws_stay_below_too(attempt: int) -> None:
    assert 0 <= DEFAULT_BACKOFF.delay(attempt) < DEFAULT_BACKOFF.bound(attempt)


@pytest.mark.parametrize(("initial", "factor", "maximum"), [(-1, 2, 60), (1, 0.5, 60), (1, 2, -1)])
def test_an_impossible_backoff_is_refused(initial: float, factor: float, maximum: float) -> None:
    with pytest.raises(SettingsError, match="must not be negative, factor must be at least 1"):
        Backoff(initial, factor, maximum)


@pytest.mark.parametrize("wrong", ["a second", None, [1], 1j, 10**400, float("nan")])
def test_what_is_no_number_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match=r"give numbers|must not be negative"):
        backoff_of(wrong)


def test_its_numbers_are_pythons_own() -> None:
    made = Backoff(Fraction(1, 2), np.float32(2), True, np.bool_(False))  # type: ignore[arg-type]
    assert [type(number) for number in astuple(made)] == [float, float, float, bool]
    assert made == Backoff(0.5, 2.0, 1.0, False)


def test_a_number_is_the_first_wait() -> None:
    assert backoff_of(3) == Backoff(initial=3.0)
    assert backoff_of(DEFAULT_BACKOFF) is DEFAULT_BACKOFF
