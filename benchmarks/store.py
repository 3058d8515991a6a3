"""Results as JSON, to keep, to draw, and to read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from benchmarks.measures.reading import Reading
from benchmarks.peers.roster import PEERS
from benchmarks.results import Results
from benchmarks.sample import Entry, Sample


class Run(NamedTuple):
    """What was measured, on what, and by which command."""

    results: Results
    machine: dict[str, str]
    command: str
    measured_at: str


def now() -> str:
    """The time of a run, as it is kept."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def as_json(run: Run) -> str:
    """All samples, with their medians and their ratios to manycore's."""
    rows = [_row(run.results, entry, cell, turns) for (entry, cell), turns in run.results.readings.items()]
    reasons = [
        asdict(entry) | {"measure": measure, "reason": sample.reason, "failed": sample.failed}
        for (entry, measure), sample in run.results.reasons.items()
    ]
    head = {"measured_at": run.measured_at, "command": run.command, "machine": run.machine}
    return json.dumps(head | {"figures": rows, "reasons": reasons}, indent=1) + "\n"


def from_json(text: str) -> Run:
    """What `as_json` wrote. Raises `ValueError` or `KeyError` for anything else."""
    read: dict[str, Any] = json.loads(text)
    results = Results()
    for row in read["figures"]:
        turns = {int(turn): Reading(**reading) for turn, reading in row["rounds"].items()}
        results.readings[Entry(row["peer"], row["best"]), row["cell"]] = turns
    for row in read["reasons"]:
        sample = Sample(reason=row["reason"], failed=row["failed"])
        results.reasons[Entry(row["peer"], row["best"]), row["measure"]] = sample
    return Run(results, read["machine"], read["command"], read["measured_at"])


def _row(results: Results, entry: Entry, cell: str, turns: Mapping[int, Reading]) -> dict[str, Any]:
    return asdict(entry) | {
        "title": PEERS[entry.peer].title,
        "cell": cell,
        "median": results.median(entry, cell),
        "ratio": results.ratio(cell, entry),
        "rounds": {turn: asdict(reading) for turn, reading in turns.items()},
    }
