"""What manycore must reach on any machine, and what of it a run missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.figure import Figure


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that the figure of that name has to keep; `says` is how a person reads it."""

    figure: str
    says: str
    kept: Callable[[Figure], bool]


TARGETS = (
    Target("submit", "> pool", lambda figure: figure.ratio > 1),
    Target("map", "≥ 600,000/s", lambda figure: figure.value >= 600_000),
    Target("efficiency, 10 ms", "≥ 0.93", lambda figure: figure.value >= 0.93),
    Target("tail", "≥ pool", lambda figure: figure.ratio >= 1),
    Target("cost of safety", "≥ 0.97", lambda figure: figure.ratio >= 0.97),
    Target("cold start", "≤ 2.5 s", lambda figure: figure.value <= 2.5),
)


def target_of(figure: Figure) -> Target | None:
    """The figure's target, if it has one."""
    return next((target for target in TARGETS if target.figure == figure.name), None)


def missed(figures: Iterable[Figure]) -> list[tuple[Target, Figure]]:
    """The targets that these figures miss. What was not measured is not missed."""
    pairs = ((target_of(figure), figure) for figure in figures)
    return [(target, figure) for target, figure in pairs if target is not None and not target.kept(figure)]
