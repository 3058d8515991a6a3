"""Reads what items and clients noted: which item ran where and when, and when its outcome first came to its client."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ops.chaos.items import CAME, DEADLY, END, START

Item = tuple[str, int]
"""Batch and index."""
SOON_SECONDS = 3.0
"""Above the time limits of the doors, and below the storm's leases by less than the time between two renewals."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of a log; `at` is in seconds on the machine's monotonic clock."""

    item: Item
    pid: int
    at: float
    event: str = START


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
    event, batch, index, pid, nanoseconds = line.split()
    return Note((batch, int(index)), int(pid), int(nanoseconds) / 1e9, event)


@dataclass(frozen=True, slots=True)
class Freeze:
    """How long the storm held a process still."""

    pid: int
    at: float
    until: float


class History:
    """All executions and all first arrivals of a run.

    `killed` are the processes that the storm put to death, `frozen` those that it held still for a while, `stopping`
    those of workers that it told to end, where no death is blamed on anybody. An execution of `poison` counts unless
    it was in one of these, or came to an end: then something interrupted it, and it took no process along.
    """

    def __init__(
        self,
        runs: Iterable[Note],
        arrivals: Iterable[Note],
        killed: Collection[int] = (),
        frozen: Collection[Freeze] = (),
        stopping: Collection[int] = (),
    ) -> None:
        self._killed = set(killed)
        self._frozen = frozen
        notes = sorted(runs, key=lambda note: note.at)
        starts = [note for note in notes if note.event != END]
        self.runs = Counter(note.item for note in starts)
        self.poison = {note.item for note in starts if note.event == DEADLY}
        self.runs.subtract(note.item for note in notes if note.event == END and note.item in self.poison)
        self.runs.subtract(note.item for note in starts if note.event == DEADLY and note.pid in stopping)
        self._starts: dict[Item, list[float]] = defaultdict(list)
        self._by_pid: dict[int, list[Note]] = defaultdict(list)
        for note in starts:
            self._starts[note.item].append(note.at)
            self._by_pid[note.pid].append(note)
        deadly = {note.pid for note in starts if note.event == DEADLY} - self._killed
        self._deaths = _deaths(notes, self._killed)
        self._beside = _deaths(notes, deadly)
        first: dict[Item, float] = {}
        for note in arrivals:
            first[note.item] = min(note.at, first.get(note.item, note.at))
        self._arrivals = sorted(first.values())

    def deaths(self, item: Item) -> int:
        """How often the storm killed a process that ran this item: executions that began there and never ended.

        One that ended, and after which its process began no other, counts too: its outcome was on its way. Where items
        run side by side, poison may have taken it along, once: nobody knew, and since then they run apart.
        """
        return self._deaths[item] + min(1, self._beside[item])

    def stood_still(self, item: Item) -> bool:
        """Whether the storm froze a process soon after this item had begun there: its time limit may end it then."""
        return bool(self._freezes(item))

    def taken_for_dead(self, item: Item) -> int:
        """In how many processes that lived on the storm froze this item for as long as a lease: it began elsewhere
        then, and all that is known of the first execution is that nobody hears of it."""
        long = {freeze.pid for freeze in self._freezes(item) if freeze.until - freeze.at > SOON_SECONDS}
        return len(long - self._killed)

    def _freezes(self, item: Item) -> list[Freeze]:
        begun = [(pid, note.at) for pid, notes in self._by_pid.items() for note in notes if note.item == item]
        return [
            freeze
            for freeze in self._frozen
            for pid, start in begun
            if freeze.pid == pid and freeze.at - SOON_SECONDS < start < freeze.until
        ]

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


def _deaths(notes: list[Note], killed: set[int]) -> Counter[Item]:
    """Of each item, the executions that a killed process took along; `notes` are in order of time."""
    running: Counter[tuple[Item, int]] = Counter()
    last: dict[int, Note] = {}
    for note in notes:
        if note.pid in killed and note.event != CAME:
            running[note.item, note.pid] += -1 if note.event == END else 1
            last[note.pid] = note
    deaths: Counter[Item] = Counter()
    for (item, _), count in running.items():
        deaths[item] += max(0, count)
    deaths.update(note.item for note in last.values() if note.event == END)
    return deaths
