"""What came out of the items of a running chunk, until it is reported. Two threads share it without a lock.

The items' thread appends a value, then its seconds: an item is complete once it has both. The courier takes complete
ones from the front; `put_back` returns what could not be written. Each is one atomic step of a list or an array.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

from manycore.protocol.message import Chunk


@dataclass(slots=True)
class Report:
    """Finished items of a run, at the consecutive positions from `start`: not yet at the caller.

    `values` are plain or `Pickled`, None where `errors` has the position or it is to `retry`, or skipped. `names` are
    those of the errors' classes.
    """

    start: int
    values: list[Any]
    seconds: array[float]
    errors: dict[int, bytes]
    retry: list[int]
    names: dict[int, str] = field(default_factory=dict)


class Tally:
    """Written by the items' thread: `values`, `seconds`, `errors`, `names`, `retry`, `postponed`, each by appending to
    it. By the courier: all else, and whatever it takes off the front."""

    __slots__ = (
        *("errors", "failed", "names", "ok", "postponed", "reported"),
        *("retry", "seconds", "skipped", "start", "values"),
    )

    def __init__(self, chunk: Chunk) -> None:
        self.start = self.reported = chunk.start
        self.values: list[Any] = []
        self.seconds = array("f")
        self.errors: dict[int, bytes] = {}
        self.names: dict[int, str] = {}
        self.retry: list[int] = []
        self.postponed: set[int] = set()
        """Those of `retry` that came and were not run."""
        self.skipped = frozenset(chunk.skipped)
        """Those of `retry` that are not this chunk's to run, and not to be sent again."""
        self.ok = 0
        self.failed = 0

    @property
    def unreported(self) -> int:
        """How many items have run since the last report."""
        return len(self.seconds)

    @property
    def done(self) -> int:
        """How many items have run."""
        return self.reported - self.start + len(self.seconds)

    def catch_up(self) -> int:
        """Make complete what has a value. Says at which position the next one belongs. Not while a report is taken."""
        self.seconds.extend([0.0] * (len(self.values) - len(self.seconds)))
        return self.reported + len(self.values)

    def take_report(self) -> Report | None:
        """Take what has finished since the last report; None if nothing has. If an item has left no memory for that, it
        all stays."""
        count = len(self.seconds)  # appended last: so many values are complete
        if not count:
            return None
        start, stop = self.reported, self.reported + count
        report = Report(
            start,
            self.values[:count],
            self.seconds[:count],
            {p: self.errors[p] for p in list(self.errors) if p < stop},
            [p for p in list(self.retry) if p < stop],
            {p: self.names[p] for p in list(self.names) if p < stop},
        )
        del self.values[:count], self.seconds[:count], self.retry[: len(report.retry)]
        for position in report.errors:
            del self.errors[position]
        for position in report.names:
            del self.names[position]
        self.reported = stop
        self.failed += len(report.errors)
        self.ok += count - len(report.errors) - len(report.retry)
        return report

    def put_back(self, report: Report) -> None:
        """Undo `take_report`: the report could not be written."""
        self.values[:0] = report.values
        self.seconds[:0] = report.seconds
        self.errors |= report.errors
        self.names |= report.names
        self.retry[:0] = report.retry
        self.reported = report.start
        self.failed -= len(report.errors)
        self.ok -= len(report.values) - len(report.errors) - len(report.retry)
