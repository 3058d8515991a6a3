"""The mix: a clean run for comparison, then the same load in a storm of faults, then the judgement."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import loads
from time import monotonic

from ops.chaos.client import Order
from ops.chaos.faults import Fault, Hit, Stage
from ops.chaos.load import Load
from ops.chaos.rig import Rig
from ops.chaos.runs import Item
from ops.chaos.storm import Storm
from ops.chaos.verdict import Verdict, is_poison, oracle_of, oracle_of_hanging

SETTLE_SECONDS = 90.0
"""How long the batches may take to end once the last fault is over: a lease, an audit, and a busy machine."""
CLEAN_SECONDS = 300.0


@dataclass
class Plan:
    """What to run. The storm lasts `seconds`, or until `kills` SIGKILLs of busy workers and `min_items` items."""

    seed: int
    faults: Sequence[Fault]
    seconds: float = 600.0
    kills: int | None = None
    min_items: int = 0
    items: int = 2000
    gap_seconds: float = 0.8
    settle_seconds: float = SETTLE_SECONDS
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
        load = Load(rig, plan.seed, plan.items)
        try:
            say("clean: the load without faults")
            _clean(rig, load, plan, result)
            say(f"chaos: {len(plan.faults)} kinds of fault")
            _chaos(rig, load, plan, result)
        finally:
            load.end()
        conclude(rig, load, plan.seed, result)
        return result


def _clean(rig: Rig, load: Load, plan: Plan, result: Result) -> None:
    started = monotonic()
    load.begin()
    settle(calm(rig, load), load, CLEAN_SECONDS)
    result.clean_seconds = monotonic() - started
    result.clean_items = sum(order.items for order in load.finished)


def _chaos(rig: Rig, load: Load, plan: Plan, result: Result) -> None:
    started = monotonic()
    load.closing = False
    before = len(load.finished)
    storm = Storm(Stage(rig, load, random.Random(plan.seed)), plan.faults, plan.gap_seconds)

    def enough() -> bool:
        if load.failures:
            return True
        if plan.kills is None:
            return monotonic() - started > plan.seconds
        kills = sum(1 for hit in storm.counted() if hit.killed)
        return kills >= plan.kills and sum(order.items for order in load.finished[before:]) >= plan.min_items

    storm.run(enough)
    settle(storm, load, plan.settle_seconds)
    result.hits = storm.counted()
    result.chaos_seconds = monotonic() - started
    result.chaos_items = sum(order.items for order in load.finished[before:])


def calm(rig: Rig, load: Load) -> Storm:
    """A storm without faults: it looks after hosts and clients."""
    return Storm(Stage(rig, load, random.Random(0)), [], 1.0)


def settle(storm: Storm, load: Load, seconds: float) -> None:
    """Let what was begun come to its end; what has not within `seconds` is lost."""
    load.closing = True
    deadline = monotonic() + seconds
    while not load.done and monotonic() < deadline:
        storm.tick()


def conclude(rig: Rig, load: Load, seed: int, result: Result) -> None:
    """Judge every batch that was begun, the unfinished ones too: what they lack is lost."""
    verdict = result.verdict
    verdict.failures += load.failures
    result.client_runs = load.runs_again
    for order in [*load.finished, *load.unfinished()]:
        judge(verdict, order, seed)
    history = rig.history()
    verdict.count_runs(history.runs, is_poison_item)
    for hit in result.hits:
        times = [history.rerun_after(pid, hit.at) for pid in hit.killed] or [history.arrival_after(hit.until)]
        result.recoveries.setdefault(hit.fault, []).extend(time for time in times if time is not None)
    rig.keep = bool(verdict.broken)
    result.folder = str(rig.folder)


def judge(verdict: Verdict, order: Order, seed: int) -> None:
    batches = {order.batch: (oracle_of(seed, order.items), is_poison)}
    if order.hanging:
        batches[order.timed] = (oracle_of_hanging(order.hanging), lambda index: True)
    for batch, (oracle, poison) in batches.items():
        path = order.answers(batch)
        found = loads(path.read_text()) if path.exists() else {"came": [], "listed": []}
        verdict.judge(batch, oracle, [(index, text) for index, text in found["came"]], found["listed"], poison)


def is_poison_item(item: Item) -> bool:
    """Hanging items kill their process too, by their time limit."""
    return item[0].endswith("-timed") or is_poison(item[1])
