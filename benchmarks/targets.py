"""What manycore must reach on any machine, and what of it a run missed."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cells import BY_NAME
from benchmarks.results import OUR_ENTRY, Results


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of a cell: `at_most` or `at_least` so much, or so many `times` as good as a peer, or as the best."""

    cell: str
    at_most: float | None = None
    at_least: float | None = None
    times: float | None = None
    peer: str | None = None

    @property
    def compares(self) -> bool:
        """Whether it is a ratio."""
        return self.times is not None

    @property
    def unit(self) -> str:
        """Of the cell."""
        return BY_NAME[self.cell].unit

    @property
    def says(self) -> str:
        """How a person reads it."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {self.unit}".strip()
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}".strip()
        return f"≥ {self.times:g} times"

    def kept(self, results: Results) -> bool | None:
        """None if this run cannot tell: the cell, or the peer, was not measured."""
        value = results.median(OUR_ENTRY, self.cell)
        if value is None:
            return None
        if self.at_most is not None:
            return value <= self.at_most
        if self.at_least is not None:
            return value >= self.at_least
        rival = results.rival(self.cell, self.peer)
        return None if rival is None or self.times is None else rival.ratio >= self.times


TARGETS = (
    Target("submit", times=8, peer="pool"),
    Target("submit", times=1.2, peer="multiprocessing"),
    Target("map", times=1.3, peer="pool"),
    Target("efficiency, 1 ms", times=0.98),
    Target("efficiency, 10 ms", times=0.99),
    Target("efficiency, 100 ms", times=0.99),
    Target("tail", times=1),
    Target("CPU beyond 1 ms", at_most=4),
    Target("CPU beyond 10 ms", at_most=1),
    Target("CPU beyond 100 ms", at_most=0.5),
    Target("round trip, p50", at_most=1.1),
    Target("round trip, p50", times=2, peer="celery"),
    Target("round trip, p50", times=1, peer="ray"),
    Target("round trip, p99", at_most=2.5),
    Target("map of 20", at_most=3.5),
    Target("map of 1,000", at_most=8),
    Target("map of 2 x 1 s a slot", at_most=2.05),
    Target("payload", times=1),
    Target("broadcast", at_most=0.10),
    Target("broadcast", times=1, peer="ray"),
    Target("cold start", at_most=0.6),
    Target("client memory", at_most=150),
    Target("cost of safety", at_least=0.97),
    Target("CPU, idle", at_most=360),  # the worker takes most of it, with its heartbeats
    Target("CPU, open batch", at_most=550),
)


def missed(results: Results) -> list[Target]:
    """The targets that this run misses. What was not measured is not missed."""
    return [target for target in TARGETS if target.kept(results) is False]
