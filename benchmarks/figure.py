"""A figure: what both executors reached at one thing, in repetitions that took turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """Samples of one measure, `ours` and `theirs` from the same rounds. `note` says how theirs was set up."""

    name: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    lower_is_better: bool = False
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.ours)

    @property
    def peer_value(self) -> float:
        return median(self.theirs)

    @property
    def ratio(self) -> float:
        """How many times as good manycore is: the median of the rounds' ratios, as the machine's speed drifts."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return median(theirs / ours if self.lower_is_better else ours / theirs for ours, theirs in pairs)


Sample = Callable[[], float]


def take_turns(rounds: int, ours: Sample, theirs: Sample) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sample both in every round; who goes first alternates, as the first may find a cooler machine."""
    got: dict[Sample, list[float]] = {ours: [], theirs: []}
    for turn in range(rounds):
        for sample in (ours, theirs) if turn % 2 == 0 else (theirs, ours):
            got[sample].append(sample())
    return tuple(got[ours]), tuple(got[theirs])
