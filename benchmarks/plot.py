"""Draws results with matplotlib, which has an environment of its own: `python -m benchmarks.plot` runs there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the plot's environment has neither click nor manycore
    from benchmarks.store import Run

COLOURS = {True: "#c1440e", False: "#7a8ca3"}
COLUMNS = 4


def draw(run: Run, path: Path) -> str | None:
    """Write a picture of this run to `path`. Gives what is missing if that cannot be."""
    from benchmarks.cells import COLUMNS as CELLS
    from benchmarks.peers.roster import OURS, PEERS
    from benchmarks.results import all_entries

    panels = []
    for cell in CELLS:
        bars = [
            (PEERS[entry.peer].title + ", best" * entry.best, value, entry.peer == OURS)
            for entry in all_entries()
            if (entry, cell.name) in run.results.readings and (value := run.results.median(entry, cell.name))
        ]
        title = f"{cell.name} {f'[{cell.unit}]' if cell.unit else ''}"
        panels.append({"title": title, "bars": sorted(bars, key=lambda bar: bar[1], reverse=cell.lower_is_better)})
    return in_environment("bars", {"panels": panels}, path)


def in_environment(kind: str, what: dict[str, Any], path: Path) -> str | None:
    """Have the environment with matplotlib draw this. Gives what is missing if there is none."""
    from benchmarks.environments import python_of

    python = python_of("plot")
    if python is None:
        return "matplotlib is not installed, so nothing is drawn. Next: make bench-all, or pip install matplotlib"
    command = [str(python), "-m", "benchmarks.plot", kind, str(path.absolute())]
    subprocess.run(command, input=json.dumps(what), text=True, check=True, cwd=Path(__file__).parents[1])
    return None


def main(kind: str, path: str) -> None:
    """What runs where matplotlib is: reads JSON from standard input."""
    import matplotlib

    matplotlib.use("Agg")
    what = json.load(sys.stdin)
    {"bars": _bars, "curves": _curves}[kind](what["panels"]).savefig(path, dpi=110)


def _bars(panels: list[dict[str, Any]]) -> Any:
    from matplotlib import pyplot

    rows = -(-len(panels) // COLUMNS)
    tallest = max(len(panel["bars"]) for panel in panels)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(16, rows * (1 + 0.17 * tallest)), layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=False):
        names, values, ours = zip(*panel["bars"], strict=True) if panel["bars"] else ((), (), ())
        axis.barh(range(len(values)), values, color=[COLOURS[mine] for mine in ours])
        axis.set_yticks(range(len(values)), names, fontsize=7)
        axis.set_title(panel["title"], fontsize=10)
        if values and max(values) > 20 * min(values):
            axis.set_xscale("log")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return figure


def _curves(panels: list[dict[str, Any]]) -> Any:
    from matplotlib import pyplot

    rows = -(-len(panels) // 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(11, 3.4 * rows), layout="constrained", squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for line in panel["lines"]:
            axis.plot(line["x"], line["y"], marker="o", label=line["name"])
        axis.set(title=panel["title"], xlabel=panel["x"], ylabel=panel["y"], xscale=panel["xscale"])
        axis.set_yscale(panel["yscale"])
        if panel["yscale"] == "linear":
            axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        if len(panel["lines"]) > 1:
            axis.legend(fontsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
