"""The page that a run of the studies makes: docs/growth.md."""

from __future__ import annotations

from benchmarks.growth.roster import BARS, STUDIES
from benchmarks.growth.study import Study
from benchmarks.numbers import number

Found = dict[str, dict[int, dict[str, float]]]
"""Figures by study, value and name."""
HEAD = """\
# How costs grow

Made by `make bench-growth`; each point is a program of its own. Measured {when} on {where}.
Read the shapes rather than the heights: such a machine's clock drifts.

![Each study's figures over what grows](growth.png)
"""


def markdown(found: Found, machine: dict[str, str], when: str) -> str:
    """A section a study, with its figures."""
    where = ", ".join(machine[name] for name in ("CPU", "cores", "OS", "Python") if name in machine)
    sections = [_section(STUDIES[name], points) for name, points in found.items() if points]
    return "\n".join([HEAD.format(when=when[:10], where=where), *sections])


def missed(found: Found) -> list[str]:
    """What stays below its bar, in words. What was not measured is not missed."""
    return [
        f"{name}: {figure} at {value} is {got:.3f}, should be {bar}"
        for name, (figure, value, bar) in BARS.items()
        if (got := found.get(name, {}).get(value, {}).get(figure)) is not None and got < bar
    ]


def _section(study: Study, points: dict[int, dict[str, float]]) -> str:
    xs = sorted(points)
    rows = [[study.x, *(f"{x:,}" for x in xs)]]
    rows += [
        [f"{figure.title}, {figure.unit}", *(number(points[x][figure.name]) for x in xs)] for figure in study.figures
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    table = "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
    return f"## {study.name.capitalize()}\n{study.says}\n\n{table}\n"
