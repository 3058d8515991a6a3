"""The yardstick: plain Celery on the same kind of server, with the same hosts, items and kills.

A poison item never ends there, so the run ends by time: what has no answer then is counted, and looked for in the
queue and among the deliveries under way.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import redis
from celery import Celery

from manycore.protocol.broker import UNACKED
from ops.chaos.faults import FAULTS
from ops.chaos.load import Load
from ops.chaos.mix import calm
from ops.chaos.rig import SLOTS, Rig
from ops.chaos.stage import Stage
from ops.chaos.storm import Storm

ITEMS = 3000
KILL_SECONDS = 45.0
GAP_SECONDS = 0.5
QUIET_SECONDS = 15.0
"""Without further kills, for what can still come back: three leases."""
QUEUE = "celery"
RESULT = "celery-task-meta-"


@dataclass
class Vanilla:
    """What became of it."""

    seconds: float = 0.0
    kills: int = 0
    items: int = ITEMS
    lost: int = 0
    under_way: int = 0
    max_runs: int = 0
    max_poison_runs: int = 0


def run_vanilla(seed: int, say: Callable[[str], None]) -> Vanilla:
    with Rig(worker=command_of, io=False) as rig:
        rig.start_hosts()
        load = Load(rig, seed, items=1, lanes=0)
        started = monotonic()
        ids = _submit(rig, seed)
        stage = Stage(rig, load, random.Random(seed))
        storm = Storm(stage, [fault for fault in FAULTS.values() if fault.kills], GAP_SECONDS)
        storm.run(lambda: monotonic() - started > KILL_SECONDS)
        quiet = calm(rig, load)
        while monotonic() - started < KILL_SECONDS + QUIET_SECONDS:
            quiet.tick()
        found = Vanilla(monotonic() - started, len(storm.counted()))
        _count(rig, ids, found)
        return found


def command_of(name: str) -> list[str]:
    """A worker as its users start it."""
    app = ["-A", "ops.chaos.vanilla_worker", "worker", "--without-gossip", "--without-mingle"]
    return [sys.executable, "-m", "celery", *app, f"--concurrency={SLOTS}", f"--hostname={name}", "--loglevel=WARNING"]


def _submit(rig: Rig, seed: int) -> list[str]:
    app = Celery("chaos", broker=rig.server.url(), backend=rig.server.url())
    with app.producer_pool.acquire(block=True) as producer:
        task = app.signature("ops.chaos.vanilla_worker.work", kwargs={"seed": seed, "folder": str(rig.folder)})
        return [task.clone(args=(index,)).apply_async(producer=producer).id for index in range(ITEMS)]


def _count(rig: Rig, ids: list[str], found: Vanilla) -> None:
    client = rig.server.client()
    answers: Any = client.mget([RESULT + task_id for task_id in ids])
    missing = {task_id for task_id, answer in zip(ids, answers, strict=True) if answer is None}
    found.under_way = len(missing & _under_way(client))
    found.lost = len(missing) - found.under_way
    history = rig.history()
    for item, count in history.runs.items():
        if item in history.poison:
            found.max_poison_runs = max(found.max_poison_runs, count)
        else:
            found.max_runs = max(found.max_runs, count)


def _under_way(client: redis.Redis) -> set[str]:
    """The ids of all messages that are queued or unacknowledged."""
    queued: Any = client.lrange(QUEUE, 0, -1)
    taken: Any = client.hvals(UNACKED)
    messages = [json.loads(raw) for raw in queued] + [json.loads(raw)[0] for raw in taken]
    return {message["headers"]["id"] for message in messages}
