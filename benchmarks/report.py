"""Shows figures: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich import box
from rich.table import Table
from rich.text import Text

from benchmarks.figure import Figure
from benchmarks.targets import target_of


def table(figures: Sequence[Figure]) -> Table:
    """One row a figure, the ratio first. Fits 80 columns."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for title in ("ratio", "manycore", "pool"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True, style="dim")
    shown.add_column("target", no_wrap=True)
    for figure in figures:
        ratio = Text(f"{figure.ratio:.2f}", style="bold")
        values = _number(figure.value), _number(figure.peer_value)
        shown.add_row(figure.name, ratio, *values, figure.unit, _verdict(figure))
    return shown


def legend(rounds: int) -> str:
    """How to read the table."""
    return (
        f"Medians of {rounds} round{'s' * (rounds > 1)} in which both took turns. Ratio: how many times as good\n"
        "manycore is. The pool got its best chunksize, manycore none.\n"
        "Efficiency and tail: the ideal wall time over the measured one.\n"
    )


def notes(figures: Sequence[Figure]) -> Table:
    """How each figure was taken."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    for figure in figures:
        shown.add_row(figure.name, figure.note, style="dim")
    return shown


def as_json(figures: Sequence[Figure], machine: Mapping[str, str]) -> str:
    """All samples, with their medians and ratios."""
    rows = [
        asdict(figure) | {"median": figure.value, "peer_median": figure.peer_value, "ratio": figure.ratio}
        for figure in figures
    ]
    head = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": dict(machine)}
    return json.dumps(head | {"figures": rows}, indent=2) + "\n"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _verdict(figure: Figure) -> Text:
    target = target_of(figure)
    if target is None:
        return Text("")
    return Text(f"✓ {target.says}", style="green") if target.kept(figure) else Text(f"✗ {target.says}", style="red")
