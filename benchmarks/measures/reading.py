"""What a measure gives, and how it finds the size that fits a peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

BUDGET_SECONDS = 4.0
"""About how long one sample may take. Rates and efficiencies do not depend on how many items they come from."""
PILOT_SECONDS = 0.1
FIRST_PILOT = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of one cell; `estimated` if it stands for more items than ran; `note` says how it was taken."""

    cell: str
    value: float
    note: str = ""
    estimated: bool = False


def seconds_of(work: Callable[[], object], expected: object) -> float:
    """How long `work` takes. Raises `AssertionError` if it does not give what it should: its speed means nothing."""
    start = perf_counter()
    got = work()
    seconds = perf_counter() - start
    if got != expected:
        raise AssertionError("A measured run lost results, or their order: its speed means nothing")
    return seconds


def fitting(most: int, run: Callable[[int], float], first: int = FIRST_PILOT) -> int:
    """How many items to measure: `most`, or as many as `run` is expected to do in the budget, but at least `first`.

    `run` takes a count and gives the seconds that it took. The trial runs also warm the peer up.
    """
    count = min(first, most)
    while (seconds := run(count)) < PILOT_SECONDS and count < most:
        count = min(most, 8 * count)
    return min(most, max(count, int(count / seconds * BUDGET_SECONDS)))


def best_chunksize(candidates: Sequence[int | None], seconds: Callable[[int | None], float]) -> int | None:
    """The candidate that takes the least, each tried once."""
    return min(candidates, key=seconds) if len(candidates) > 1 else candidates[0]
