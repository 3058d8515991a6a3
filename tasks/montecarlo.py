"""Prices a European call by Monte Carlo, and in closed form to check it.

The price at expiry is drawn from its exact lognormal law, one normal number a path: there are no time steps, so it
does not price options that depend on the path. Each item has its own seed, so running it twice gives the same sample.

Source: F. Black and M. Scholes, "The Pricing of Options and Corporate Liabilities", JPE 81 (1973).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, fsum, isfinite, log, sqrt
from random import Random
from statistics import NormalDist

from manycore import task

Z_95 = NormalDist().inv_cdf(0.975)  # 1.96: 95 % of a normal distribution lies within this many deviations


@dataclass(frozen=True, slots=True)
class Call:
    """A European call: prices in one currency, `rate` and `volatility` per year (0.05 is 5 %), `years` to expiry.

    Raises `ValueError` unless all are finite and all but `rate` are above zero.
    """

    spot: float = 100.0
    strike: float = 100.0
    rate: float = 0.05
    volatility: float = 0.2
    years: float = 1.0

    def __post_init__(self) -> None:
        positive = (self.spot, self.strike, self.volatility, self.years)
        if not all(isfinite(value) and value > 0 for value in positive) or not isfinite(self.rate):
            raise ValueError(f"{self} has no price: a field is zero, negative or not finite. Only rate may be <= 0.")


@dataclass(frozen=True, slots=True)
class Sample:
    """Sums over `paths` discounted payoffs: all that is needed to combine samples, whatever their sizes."""

    total: float
    total_squares: float
    paths: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A price and the half-width of its 95 % confidence interval, in the currency of the call."""

    price: float
    half_width: float


DEFAULT_CALL = Call()


@task
def simulate(seed: int, paths: int = 100_000, call: Call = DEFAULT_CALL) -> Sample:
    """Draw `paths` independent payoffs of `call`. The same seed gives the same sample on every machine.

    Give each item another seed: two items with one seed are one sample counted twice. Raises `ValueError` for no paths.
    """
    if paths < 1:
        raise ValueError(f"Cannot simulate {paths} paths. Ask for 1 or more; 100,000 take a fraction of a second.")
    normal = Random(seed).gauss
    discount = exp(-call.rate * call.years)
    drift = (call.rate - call.volatility**2 / 2) * call.years
    deviation = call.volatility * sqrt(call.years)
    total = total_squares = 0.0
    for _ in range(paths):
        at_expiry = call.spot * exp(drift + deviation * normal(0.0, 1.0))
        payoff = discount * max(at_expiry - call.strike, 0.0)
        total += payoff
        total_squares += payoff * payoff
    return Sample(total, total_squares, paths)


def combine(samples: Iterable[Sample]) -> Estimate:
    """The estimate that all samples give together, to the last bit the same in whatever order they come.

    Raises `ValueError` for fewer than two paths, which have no variance.
    """
    gathered = list(samples)
    paths = sum(sample.paths for sample in gathered)
    if paths < 2:
        raise ValueError(f"{paths} paths have no confidence interval. Was the batch empty? Combine 2 paths or more.")
    mean = fsum(sample.total for sample in gathered) / paths
    squares = fsum(sample.total_squares for sample in gathered)
    variance = max(squares - paths * mean**2, 0.0) / (paths - 1)  # rounding may take equal payoffs just below zero
    return Estimate(mean, Z_95 * sqrt(variance / paths))


def black_scholes(call: Call = DEFAULT_CALL) -> float:
    """The exact price of `call` in the Black-Scholes model: 10.4506 for the default one."""
    deviation = call.volatility * sqrt(call.years)
    d1 = (log(call.spot / call.strike) + (call.rate + call.volatility**2 / 2) * call.years) / deviation
    cdf = NormalDist().cdf
    return call.spot * cdf(d1) - call.strike * exp(-call.rate * call.years) * cdf(d1 - deviation)
