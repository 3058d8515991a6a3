"""Judges what was gathered by the serial oracle, and what was executed by the promises. Pure: it only counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ops.chaos.items import POISON, expected, kind_of
from ops.chaos.runs import Item

MAX_POISON_RUNS = 3
CRASHED = "WorkerCrashed"
MIN_DEATHS = 2
"""An innocent item that the storm kills so often may be condemned: with one more death that nobody could attribute,
nothing tells it from poison, whose executions are bounded."""
MAX_EXAMPLES = 5


@dataclass
class Verdict:
    """What became of the items. `broken` says which promises were."""

    items: int = 0
    lost: int = 0
    wrong: int = 0
    duplicated: int = 0
    blamed: int = 0
    condemned: int = 0
    suspects: list[Item] = field(default_factory=list)
    max_runs: int = 0
    max_poison_runs: int = 0
    runs_again: int = 0
    examples: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def judge(
        self,
        batch: str,
        oracle: Mapping[int, frozenset[str]],
        came: list[tuple[int, str]],
        listed: list[str],
        is_poison: Callable[[int], bool],
    ) -> None:
        """Count one batch: the outcomes one by one (`came`) and the gathered list must both be the oracle's."""
        self.items += len(oracle)
        counts = Counter(index for index, _ in came)
        self.duplicated += sum(count - 1 for count in counts.values()) + max(0, len(listed) - len(oracle))
        answers = dict(reversed(came))
        for index, right in oracle.items():
            got = answers.get(index)
            in_list = listed[index] if index < len(listed) else None
            if got is None or in_list is None:
                self.lost += 1
                self._show(f"{batch}[{index}] is lost")
            elif got == in_list == CRASHED and not is_poison(index):
                self.suspects.append((batch, index))
            elif got not in right or in_list != got:
                self.wrong += 1
                self._show(f"{batch}[{index}] is {got} (in the list {in_list}), not {' or '.join(sorted(right))}")

    def count_runs(self, runs: Mapping[Item, int], poison: Callable[[Item], bool]) -> None:
        """Count the executions, and tell who was condemned without a reason."""
        for item in self.suspects:
            if runs.get(item, 0) >= MIN_DEATHS:
                self.condemned += 1
            else:
                self.blamed += 1
                self._show(f"{item[0]}[{item[1]}] is no poison, and died fewer than {MIN_DEATHS} times")
        for item, count in runs.items():
            if poison(item):
                self.max_poison_runs = max(self.max_poison_runs, count)
                if count > MAX_POISON_RUNS:
                    self._show(f"{item[0]}[{item[1]}] is poison and ran {count} times")
            else:
                self.max_runs = max(self.max_runs, count)
                self.runs_again += count - 1

    @property
    def broken(self) -> list[str]:
        """The promises that were broken, in words; empty if all were kept."""
        said = {
            "lost": self.lost,
            "wrong": self.wrong,
            "duplicated in the result": self.duplicated,
            "blamed as poison without a reason": self.blamed,
            "further failures": len(self.failures),
        }
        found = [f"{count} {what}" for what, count in said.items() if count]
        if self.max_poison_runs > MAX_POISON_RUNS:
            found.append(f"a poison item ran {self.max_poison_runs} times")
        return found

    def _show(self, text: str) -> None:
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(text)


def oracle_of(seed: int, items: int) -> dict[int, frozenset[str]]:
    """The right outcomes of a main batch."""
    return {index: frozenset([expected(seed, index)]) for index in range(items)}


def oracle_of_hanging(items: int) -> dict[int, frozenset[str]]:
    """Of hanging items: one that others killed three times while it hung may be told to have crashed."""
    return dict.fromkeys(range(items), frozenset(["ItemTimeout", CRASHED]))


def is_poison(index: int) -> bool:
    return kind_of(index) in POISON
