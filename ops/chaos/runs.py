"""Reads what items and clients noted: which item ran where and when, and when its outcome first came to its client."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

Item = tuple[str, int]
"""Batch and index."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of a log; `at` is in seconds on the machine's monotonic clock."""

    item: Item
    pid: int
    at: float


class Tail:
    """Follows a log: each `read` gives the lines that are new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Note]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as log:
            log.seek(self._offset)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return [parse(line) for line in whole.decode().split("\n")] if newline else []


def parse(line: str) -> Note:
    batch, index, pid, nanoseconds = line.split()
    return Note((batch, int(index)), int(pid), int(nanoseconds) / 1e9)


class History:
    """All executions and all first arrivals of a run."""

    def __init__(self, runs: list[Note], arrivals: list[Note]) -> None:
        self.runs = Counter(note.item for note in runs)
        self._starts: dict[Item, list[float]] = defaultdict(list)
        self._by_pid: dict[int, list[Note]] = defaultdict(list)
        for note in sorted(runs, key=lambda note: note.at):
            self._starts[note.item].append(note.at)
            self._by_pid[note.pid].append(note)
        first: dict[Item, float] = {}
        for note in arrivals:
            first[note.item] = min(note.at, first.get(note.item, note.at))
        self._arrivals = sorted(first.values())

    def rerun_after(self, pid: int, death: float) -> float | None:
        """Seconds from the death of a process to the next start of the item it ran; None if nobody had to.

        That item is the one which its chunk lost: what the chunk had done before it may run again too.
        """
        notes = [note for note in self._by_pid.get(pid, ()) if note.at <= death]
        if not notes:
            return None
        starts = self._starts[notes[-1].item]
        later = bisect_right(starts, death)
        return starts[later] - death if later < len(starts) else None

    def arrival_after(self, moment: float) -> float | None:
        """Seconds from a moment to the next outcome that came for the first time; None if none came."""
        place = bisect_right(self._arrivals, moment)
        return self._arrivals[place] - moment if place < len(self._arrivals) else None
