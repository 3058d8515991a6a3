"""Prints what a run showed: a table of the faults, then the figures that are promised. 80 columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ops.chaos.faults import FAULTS
from ops.chaos.mix import Result
from ops.chaos.vanilla import Vanilla
from ops.chaos.verdict import MAX_EXECUTIONS, Tally, Verdict

COLUMNS = {
    "orders": 7,
    "items": 9,
    "lost": 7,
    "wrong": 7,
    "twice": 7,
    "blamed": 8,
    "hung": 6,
    "killed": 8,
    "rerun": 7,
}
"""Of the table of doors: what is counted, and how wide."""


def table_of(result: Result) -> Iterator[str]:
    """The faults: how often each was injected, and the slowest recovery from it."""
    counts = Counter(hit.fault for hit in result.hits)
    yield f"{'fault':<20}{'injected':>10}{'recovered, median':>20}{'slowest':>12}"
    yield "-" * 62
    for name in FAULTS:
        if name not in counts:
            continue
        times = sorted(result.recoveries.get(name, []))
        median, slowest = (f"{times[len(times) // 2]:.1f} s", f"{times[-1]:.1f} s") if times else ("-", "-")
        yield f"{name:<20}{counts[name]:>10}{median:>20}{slowest:>12}"


def doors_of(verdict: Verdict) -> Iterator[str]:
    """What became of the items, by the door that they went through."""
    yield f"{'door':<11}" + "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
    yield "-" * 77
    for name, tally in verdict.doors.items():
        yield _row(name, tally)
    yield _row("all", verdict.total)
    yield "blamed: innocent, yet said to have killed its process, or run too long; killed: likewise, but the"
    yield f"storm did kill it {MAX_EXECUTIONS} times, or froze its process meanwhile; rerun: clients that were"
    yield "killed, or met no server, and were run again."


def _row(name: str, tally: Tally) -> str:
    counts = (tally.orders, tally.items, tally.lost, tally.wrong, tally.duplicated, tally.blamed, tally.hung)
    both = zip((*counts, tally.killed, tally.runs_again), COLUMNS.values(), strict=True)
    return f"{name:<11}" + "".join(f"{count:>{width},}" for count, width in both)


def figures_of(verdict: Verdict) -> Iterator[str]:
    """How often items ran."""
    figures: dict[str, Any] = {
        "executions of an item, most": verdict.max_runs,
        "executions of a poison item, most": f"{verdict.max_poison_runs} (promised: {MAX_EXECUTIONS})",
        "executions beyond the first, in all": f"{verdict.runs_again:,}",
        "plain calls made again by their client": verdict.sent_again,
    }
    yield from (f"{what:<40}{value}" for what, value in figures.items())


def pace_of(result: Result) -> Iterator[str]:
    """The clean run beside the chaotic one, and the clients."""
    yield f"{'clients run again':<40}{result.client_runs}"
    phases = {
        "clean run": (result.clean_items, result.clean_seconds),
        "chaotic run": (result.chaos_items, result.chaos_seconds),
    }
    for name, (items, seconds) in phases.items():
        if items:
            pace = f"{seconds:.1f} s for {items:,} items, {1000 * seconds / items:.1f} ms an item"
            yield f"{name:<40}{pace}"


def conclusion_of(verdict: Verdict, folder: str, command: str) -> Iterator[str]:
    """Kept or broken, with what helps to find out why."""
    if not verdict.broken:
        yield "Every promise was kept."
        return
    yield f"BROKEN: {'; '.join(verdict.broken)}."
    yield from verdict.examples
    yield from verdict.failures
    yield f"The logs are in {folder}."
    yield f"To repeat it: {command}"


def vanilla_of(vanilla: Vanilla) -> Iterator[str]:
    """What became of the same items under plain Celery."""
    figures: dict[str, Any] = {
        "SIGKILLs of busy workers": vanilla.kills,
        "items": f"{vanilla.items:,}",
        "lost: no answer, and in no queue": vanilla.lost,
        "queued or running still": vanilla.under_way,
        "callers that wait for an answer": vanilla.lost + vanilla.under_way,
        "executions of an item, most": vanilla.max_runs,
        "executions of a poison item, most": f"{vanilla.max_poison_runs} in {vanilla.seconds:.0f} s, no end in sight",
    }
    yield from (f"{what:<40}{value}" for what, value in figures.items())


def write_json(path: Path, seed: int, result: Result, vanilla: Vanilla | None = None) -> None:
    """Everything, for machines."""
    found = asdict(result) | {
        "seed": seed,
        "broken": result.verdict.broken,
        "vanilla": asdict(vanilla) if vanilla else None,
    }
    path.write_text(json.dumps(found, indent=1))
