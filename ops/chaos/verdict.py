"""Judges what was gathered by the serial oracle, and what was executed by the promises. Pure: it only counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from ops.chaos.doors.door import CRASHED, TIMED_OUT, Page, Part
from ops.chaos.runs import History, Item

MAX_EXECUTIONS = 3
MAX_EXAMPLES = 20


@dataclass
class Tally:
    """What became of the items of one door.

    `blamed` are innocent items that ended as if they had killed their process, or run too long. `killed` are not
    counted there: the storm itself did kill them as often as poison may run, or held their process still beyond its
    lease, or their time limit. Nothing tells such an item from a guilty one, and it must end.
    """

    orders: int = 0
    items: int = 0
    lost: int = 0
    wrong: int = 0
    duplicated: int = 0
    blamed: int = 0
    killed: int = 0
    hung: int = 0
    runs_again: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Tally)))


@dataclass
class Verdict:
    """What became of all items. `broken` says which promises were."""

    doors: dict[str, Tally] = field(default_factory=dict)
    suspects: list[tuple[str, Item, str]] = field(default_factory=list)
    max_runs: int = 0
    max_poison_runs: int = 0
    runs_again: int = 0
    sent_again: int = 0
    examples: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> Tally:
        return sum(self.doors.values(), Tally())

    def door(self, name: str) -> Tally:
        return self.doors.setdefault(name, Tally())

    def judge(self, door: str, part: Part, page: Page) -> None:
        """Count one part: the outcomes one by one and the gathered list must both be the oracle's."""
        tally = self.door(door)
        tally.items += len(part.oracle)
        counts = Counter(index for index, _ in page.came)
        listed = max(0, len(page.listed) - len(part.oracle)) if part.listed else 0
        tally.duplicated += sum(count - 1 for count in counts.values()) + listed
        answers = dict(reversed(page.came))
        if not page.came and not page.listed:
            tally.lost += len(part.oracle)
            self._show(f"{page.batch}: no answer at all")
            return
        for index, right in part.oracle.items():
            if page.until is None or index <= page.until:
                in_list = page.listed[index] if index < len(page.listed) else None
                got = answers.get(index)
                self._judge(door, (page.batch, index), right, got, in_list if part.listed else got)
        for index in counts.keys() - part.oracle.keys():
            tally.duplicated += 1
            self._show(f"{page.batch}[{index}] was never asked for")

    def _judge(self, door: str, item: Item, right: frozenset[str], got: str | None, in_list: str | None) -> None:
        tally, name = self.door(door), f"{item[0]}[{item[1]}]"
        if got is None or in_list is None:
            tally.lost += 1
            self._show(f"{name} is lost" + (f": {got} came, the list has {in_list}" if got != in_list else ""))
        elif got == in_list and got in (CRASHED, TIMED_OUT) and got not in right:
            self.suspects.append((door, item, got))
        elif got not in right or in_list != got:
            tally.wrong += 1
            self._show(f"{name} is {got} (in the list {in_list}), not {' or '.join(sorted(right))}")

    def count_runs(self, history: History) -> None:
        """Count the executions, and tell who was blamed although the storm did not kill it often enough."""
        for door, item, got in self.suspects:
            deaths = history.deaths(item) + history.taken_for_dead(item)
            if deaths >= MAX_EXECUTIONS if got == CRASHED else history.stood_still(item):
                self.door(door).killed += 1
                continue
            self.door(door).blamed += 1
            runs = history.runs[item]
            self._show(f"{item[0]}[{item[1]}] is {got}: the storm ended it {deaths} times, in {runs} executions")
        for item, count in history.runs.items():
            if item in history.poison:
                self.max_poison_runs = max(self.max_poison_runs, count)
                if count > MAX_EXECUTIONS:
                    self._show(f"{item[0]}[{item[1]}] is poison and ran {count} times")
            else:
                self.max_runs = max(self.max_runs, count)
                self.runs_again += count - 1

    @property
    def broken(self) -> list[str]:
        """The promises that were broken, in words; empty if all were kept."""
        total = self.total
        said = {
            "lost": total.lost,
            "wrong": total.wrong,
            "duplicated in the result": total.duplicated,
            "blamed as poison without a reason": total.blamed,
            "clients that hung": total.hung,
            "further failures": len(self.failures) - total.hung,
        }
        found = [f"{count} {what}" for what, count in said.items() if count > 0]
        if self.max_poison_runs > MAX_EXECUTIONS:
            found.append(f"a poison item ran {self.max_poison_runs} times")
        return found

    def _show(self, text: str) -> None:
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(text)
