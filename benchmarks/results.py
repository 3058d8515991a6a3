"""All samples of a run: their medians, who is best at what, and by how much manycore differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from benchmarks.cells import BY_NAME
from benchmarks.measures.reading import Reading
from benchmarks.peers.roster import OURS, PEERS
from benchmarks.sample import Entry, Sample

OUR_ENTRY = Entry(OURS)


@dataclass(frozen=True, slots=True)
class Rival:
    """Who is best at a cell beside manycore, its median, and how many times as good manycore is."""

    entry: Entry
    value: float
    ratio: float


@dataclass(slots=True)
class Results:
    """Readings by entry, cell and round; and of what has none, the reason."""

    readings: dict[tuple[Entry, str], dict[int, Reading]] = field(default_factory=dict)
    reasons: dict[tuple[Entry, str], Sample] = field(default_factory=dict)

    def add(self, entry: Entry, measure: str, turn: int, sample: Sample) -> None:
        """Take in what came of a measure in that round."""
        for reading in sample.readings:
            self.readings.setdefault((entry, reading.cell), {})[turn] = reading
        if sample.reason:
            self.reasons[entry, measure] = sample

    def entries(self) -> list[Entry]:
        """Both settings of those of whom something is known, in the order of the table."""
        known = {entry.peer for entry, _ in (*self.readings, *self.reasons)}
        return [entry for entry in all_entries() if entry.peer in known]

    def median(self, entry: Entry, cell: str) -> float | None:
        """None if there is no reading. What the best setting does not change is the default's."""
        found = self._turns(entry, cell)
        return median(reading.value for reading in found.values()) if found else None

    def estimated(self, entry: Entry, cell: str) -> bool:
        """Whether a reading of it stands for more items than ran."""
        return any(reading.estimated for reading in self._turns(entry, cell).values())

    def reason(self, entry: Entry, measure: str) -> Sample | None:
        """Why there is no reading."""
        changed = measure in PEERS[entry.peer].best_changes
        return self.reasons.get((entry if not entry.best or changed else Entry(entry.peer), measure))

    def ratio(self, cell: str, other: Entry) -> float | None:
        """How many times as good manycore is: the median of the rounds' ratios, as the machine's speed drifts."""
        ours, theirs = self._turns(OUR_ENTRY, cell), self._turns(other, cell)
        pairs = [(ours[turn].value, theirs[turn].value) for turn in ours.keys() & theirs.keys()]
        lower = BY_NAME[cell].lower_is_better
        ratios = [their / our if lower else our / their for our, their in pairs if our > 0 and their > 0]
        return median(ratios) if ratios else None

    def rival(self, cell: str, peer: str | None = None) -> Rival | None:
        """The best of all peers, or this peer in its better setting. Those without processes are none."""
        better = min if BY_NAME[cell].lower_is_better else max
        entries = [entry for entry in all_entries() if peer == entry.peer or (peer is None and _competes(entry))]
        known = {entry: value for entry in entries if (value := self.median(entry, cell)) is not None}
        if not known:
            return None
        best = better(known, key=lambda entry: known[entry])
        ratio = self.ratio(cell, best)
        return None if ratio is None else Rival(best, known[best], ratio)

    def _turns(self, entry: Entry, cell: str) -> dict[int, Reading]:
        found = self.readings.get((entry, cell))
        return found or (self.readings.get((Entry(entry.peer), cell), {}) if entry.best else {})


def all_entries(peers: Iterable[str] = PEERS) -> Iterator[Entry]:
    """Each of these peers at its default, and at its best if its documentation knows of one."""
    for peer in peers:
        yield Entry(peer)
        if PEERS[peer].best:
            yield Entry(peer, best=True)


def _competes(entry: Entry) -> bool:
    return entry.peer != OURS and not PEERS[entry.peer].baseline
