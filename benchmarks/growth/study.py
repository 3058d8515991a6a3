"""What a study gives: panels of lines, to be drawn and to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

Point = Callable[..., dict[str, float]]
"""Measures one point in a process of its own; gives figures by name."""


@dataclass(frozen=True, slots=True)
class Line:
    """Figures of one name over x."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share their axes."""

    title: str
    x: str
    y: str
    lines: list[Line]
    xscale: str = "log"
    yscale: str = "linear"

    def drawn(self) -> dict[str, Any]:
        """As the plot wants it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a study: which name the points give it, its axis, and how the axis runs."""

    name: str
    title: str
    unit: str
    yscale: str = "linear"


@dataclass(frozen=True, slots=True)
class Study:
    """What grows (`x`), over which values, and what is looked at. `small` are the values of a miniature."""

    name: str
    says: str
    x: str
    values: tuple[int, ...]
    small: tuple[int, ...]
    point: Point
    figures: tuple[Figure, ...]

    def panels(self, found: dict[int, dict[str, float]]) -> list[Panel]:
        """One for each figure, of the points that there are."""
        xs = sorted(found)
        return [
            Panel(
                figure.title,
                self.x,
                figure.unit,
                [Line(figure.name, [float(x) for x in xs], [found[x][figure.name] for x in xs])],
                yscale=figure.yscale,
            )
            for figure in self.figures
        ]
