"""Takes all samples of a run: round by round, measure by measure, each peer in its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.environments import python_of
from benchmarks.peers.roster import OURS, PEERS
from benchmarks.results import Results, all_entries
from benchmarks.sample import Entry, Sample, take

MEASURES = ("submit", "map", "efficiency", "roundtrip", "small", "payload", "broadcast", "cold", "cpu", "import")
OURS_ALONE = ("memory", "safety", "idle")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which peers and measures, in how many rounds, on how many worker processes each."""

    peers: tuple[str, ...]
    measures: tuple[str, ...]
    rounds: int
    workers: int

    def steps(self) -> Iterator[tuple[int, str, Entry]]:
        """(round, measure, entry). Who goes first moves on: the first may find a cooler machine."""
        for turn in range(self.rounds):
            for measure in self.measures:
                entries = [entry for entry in all_entries(self.peers) if self._has(entry, measure)]
                shift = turn * len(entries) // self.rounds
                yield from ((turn, measure, entry) for entry in entries[shift:] + entries[:shift])

    @staticmethod
    def _has(entry: Entry, measure: str) -> bool:
        if measure in OURS_ALONE:
            return entry.peer == OURS
        return not entry.best or measure in PEERS[entry.peer].best_changes


def split_by_installed(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The peers that can be measured here, and those that are not installed."""
    there = tuple(name for name in names if python_of(name))
    return there, tuple(name for name in names if name not in there)


def carry_out(plan: Plan, into: Results, take: Callable[..., Sample] = take) -> Iterator[str]:
    """Take every sample; says before each what is next, and in the end that it is over.

    What had no answer in a round is not asked again: it may have taken minutes not to have one.
    """
    for turn, measure, entry in plan.steps():
        before = into.reasons.get((entry, measure))
        if before is not None and turn:
            continue
        yield f"Round {turn + 1} of {plan.rounds}: {measure}, {PEERS[entry.peer].title}{' at its best' * entry.best}"
        into.add(entry, measure, turn, take(entry, measure, plan.workers))
    yield "Done"
