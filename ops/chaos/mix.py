"""The mix: a clean run for comparison, then the same load in a storm of faults, then the judgement."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from ops.chaos import aftermath
from ops.chaos.doors.all import DOORS
from ops.chaos.doors.door import Book, Door, Page
from ops.chaos.faults import Fault
from ops.chaos.foreign import Foreign
from ops.chaos.load import Load
from ops.chaos.order import Order
from ops.chaos.rig import Rig
from ops.chaos.runs import Freeze
from ops.chaos.stage import Hit, Stage
from ops.chaos.storm import Storm
from ops.chaos.verdict import Verdict

SETTLE_SECONDS = 90.0
"""How long clients may take to end once the last fault is over: a lease, an audit, and a busy machine."""
CLEAN_SECONDS = 300.0
LANES = 3
MAX_STRETCH = 3.0
"""A storm goes on until each fault and each door has come, but not for more than so many times its seconds."""


@dataclass
class Plan:
    """What to run. The storm lasts `seconds`, or until `kills` SIGKILLs of busy workers and `min_items` items.

    A client of which nothing is heard for `silent_seconds` hangs.
    """

    seed: int
    faults: Sequence[Fault]
    doors: Sequence[Door] = tuple(DOORS.values())
    seconds: float = 600.0
    kills: int | None = None
    min_items: int = 0
    items: int = 1000
    gap_seconds: float = 0.8
    settle_seconds: float = SETTLE_SECONDS
    silent_seconds: float = 90.0
    foreign: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What came of it, with times in seconds for an item of each phase."""

    verdict: Verdict
    hits: list[Hit]
    recoveries: dict[str, list[float]]
    clean_seconds: float = 0.0
    clean_items: int = 0
    chaos_seconds: float = 0.0
    chaos_items: int = 0
    client_runs: int = 0
    folder: str = ""


def run_mix(plan: Plan, say: Callable[[str], None]) -> Result:
    with Rig(settings=plan.settings) as rig:
        rig.start_hosts()
        result = Result(Verdict(), [], {})
        load = Load(rig, plan.seed, plan.items, lanes=LANES, doors=plan.doors, silent_seconds=plan.silent_seconds)
        foreign = Foreign(rig) if plan.foreign else None
        try:
            say(f"clean: {len(plan.doors)} doors without faults")
            _clean(rig, load, foreign, result)
            say(f"chaos: {len(plan.faults)} kinds of fault")
            _chaos(rig, load, plan, result)
            result.verdict.failures += aftermath.of_the_server(rig)
            result.verdict.failures += foreign.differences() if foreign else ()
        finally:
            load.end()
            if foreign:
                foreign.end()
        conclude(rig, load, result)
        result.verdict.failures += aftermath.of_the_machine(rig)
        rig.keep = bool(result.verdict.broken)
        return result


def _clean(rig: Rig, load: Load, foreign: Foreign | None, result: Result) -> None:
    """Each door once."""
    started = monotonic()
    ticker = calm(rig, load)
    load.begin()
    while len(load.begun) < len(load.doors) and monotonic() - started < CLEAN_SECONDS and not load.failures:
        ticker.tick()
    settle(ticker, load, CLEAN_SECONDS)
    result.clean_seconds = monotonic() - started
    result.clean_items = sum(order.items for order in load.finished)
    if foreign:
        result.verdict.failures += foreign.stop()


def _chaos(rig: Rig, load: Load, plan: Plan, result: Result) -> None:
    started = monotonic()
    load.closing = False
    load.begun.clear()
    before = len(load.finished)
    storm = Storm(Stage(rig, load, random.Random(plan.seed)), plan.faults, plan.gap_seconds)

    def enough() -> bool:
        if load.failures:
            return True
        if plan.kills is None:
            return _has_all(plan, storm, load, monotonic() - started)
        kills = sum(1 for hit in storm.counted() if hit.killed)
        return kills >= plan.kills and sum(order.items for order in load.finished[before:]) >= plan.min_items

    storm.run(enough)
    settle(storm, load, plan.settle_seconds)
    result.hits = storm.counted()
    result.chaos_seconds = monotonic() - started
    result.chaos_items = sum(order.items for order in load.finished[before:])


def _has_all(plan: Plan, storm: Storm, load: Load, seconds: float) -> bool:
    """Whether the time is over, and every fault has struck and every door was begun."""
    whole = len({hit.fault for hit in storm.counted()}) == len(plan.faults) and len(load.begun) == len(plan.doors)
    return seconds > plan.seconds * (1 if whole else MAX_STRETCH)


def calm(rig: Rig, load: Load) -> Storm:
    """A storm without faults: it looks after hosts and clients."""
    return Storm(Stage(rig, load, random.Random(0)), [], 1.0)


def settle(storm: Storm, load: Load, seconds: float) -> None:
    """Let what was begun come to its end; who has not within `seconds` hangs."""
    load.closing = True
    deadline = monotonic() + seconds
    while not load.done and monotonic() < deadline:
        storm.tick()
    load.give_up()


def conclude(rig: Rig, load: Load, result: Result) -> None:
    """Judge all that was begun, the unfinished too: what they lack is lost."""
    verdict = result.verdict
    verdict.failures += load.failures
    result.client_runs = load.runs_again.total()
    for order in [*load.finished, *load.unfinished()]:
        judge(verdict, order)
    for door, count in load.runs_again.items():
        verdict.door(door).runs_again += count
    for order in load.hung:
        verdict.door(order.door).hung += 1
    frozen = [Freeze(pid, hit.at, hit.until) for hit in result.hits for pid in hit.frozen]
    stopping = {pid for hit in result.hits for pid in hit.stopping}
    history = rig.history({pid for hit in result.hits for pid in hit.dead}, frozen, stopping)
    verdict.count_runs(history)
    for hit in result.hits:
        times = [history.rerun_after(pid, hit.at) for pid in hit.killed] or [history.arrival_after(hit.until)]
        result.recoveries.setdefault(hit.fault, []).extend(time for time in times if time is not None)
    rig.keep = bool(verdict.broken)
    result.folder = str(rig.folder)


def judge(verdict: Verdict, order: Order) -> None:
    """Judge what a client wrote down; one that wrote nothing lost all of it."""
    book = Book.read(order)
    verdict.failures += book.complaints
    verdict.sent_again += book.sent_again
    verdict.door(order.door).orders += 1
    for name, part in DOORS[order.door].parts(order).items():
        verdict.judge(order.door, part, book.pages.get(name) or Page(order.named(name)))
