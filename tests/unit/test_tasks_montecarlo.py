"""`tasks.montecarlo` agrees with Black-Scholes, and repeats itself exactly."""

from __future__ import annotations

from math import nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.montecarlo import Call, Sample, black_scholes, combine, simulate


def test_the_closed_form_gives_the_textbook_price() -> None:
    assert black_scholes() == pytest.approx(10.450583572185565)
    # J. Hull, "Options, Futures, and Other Derivatives", the example of the Black-Scholes chapter.
    hull = Call(spot=42, strike=40, rate=0.1, volatility=0.2, years=0.5)
    assert black_scholes(hull) == pytest.approx(4.76, abs=0.005)


@pytest.mark.parametrize("call", [Call(), Call(strike=130.0), Call(rate=-0.02, volatility=0.4, years=0.25)])
def test_the_estimate_agrees_with_the_closed_form(call: Call) -> None:
    estimate = combine(simulate(seed, 20_000, call) for seed in range(5))
    # Twice the 95 % half-width. The seeds are fixed, so this cannot fail by chance.
    assert abs(estimate.price - black_scholes(call)) < 2 * estimate.half_width


def test_the_interval_holds_the_price_about_95_times_in_100() -> None:
    estimates = [combine([simulate(seed, 1_000)]) for seed in range(200)]
    inside = sum(abs(estimate.price - black_scholes()) <= estimate.half_width for estimate in estimates)
    assert 180 <= inside <= 199


def test_a_seed_gives_the_same_sample_each_time() -> None:
    assert simulate(7, 100) == simulate(7, 100)
    assert simulate(7, 100) != simulate(8, 100)


def test_the_interval_of_a_small_sample_by_hand() -> None:
    estimate = combine([Sample(1.0, 1.0, 1), Sample(3.0, 9.0, 1)])  # payoffs 1 and 3: mean 2, deviation sqrt(2)
    assert estimate.price == 2.0
    assert estimate.half_width == pytest.approx(1.959964)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(seeds: list[int], random: Random) -> None:
    samples = [simulate(seed, 2) for seed in seeds]
    shuffled = random.sample(samples, len(samples))
    assert combine(samples) == combine(shuffled)


def test_a_call_worth_its_discounted_forward_has_no_spread() -> None:
    calm = Call(spot=100.0, strike=50.0, rate=0.0, volatility=1e-12)
    assert combine([simulate(1, 1_000, calm)]).half_width == pytest.approx(0.0, abs=1e-6)
    assert black_scholes(calm) == pytest.approx(50.0)


@pytest.mark.parametrize("field", ["spot", "strike", "volatility", "years"])
@pytest.mark.parametrize("value", [0.0, -1.0, nan])
def test_an_impossible_call_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match="has no price"):
        Call(**{field: value})


def test_too_few_paths_are_refused() -> None:
    with pytest.raises(ValueError, match="Cannot simulate 0 paths"):
        simulate(1, 0)
    with pytest.raises(ValueError, match="Was the batch empty"):
        combine([])
