"""Kills the children that run items of a batch that was cancelled with `terminate=True`.

The batch's flag says so, as it does for a plain cancel; so it holds across restarts, and no broadcast can be missed. A
killed child looks like any other death, but for that it is no item's: its chunk comes again, sees the flag, and ends.
The black box tells what a child runs now, so that none is killed for a batch that it has just left.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery.worker import state
from redis import RedisError

from manycore.protocol import keys
from manycore.worker import blackbox, strikes
from manycore.worker.blackbox import Reading
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent.periodic import PeriodicStep

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
IDLE_SECONDS = 2.0


def terminate(context: WorkerContext) -> None:
    """Kill the children that run what is to be terminated. It costs a round trip while chunks run, else nothing."""
    running = [(r.delivery.chunk, r.worker_pid) for r in state.active_requests if getattr(r, "delivery", None)]
    doomed = _doomed(context, {chunk.batch for chunk, _ in running})
    for chunk, pid in running:
        reading = blackbox.read(context.folder, pid) if chunk.batch in doomed and pid else None
        if reading is not None and reading.batch == chunk.batch:
            _kill(context, pid, reading)


def _kill(context: WorkerContext, pid: int, doomed: Reading) -> None:
    """Kill this child, and blame nobody: its batch may run again. If that cannot be noted, the next look tries."""
    try:
        strikes.absolve(context.redis, doomed, context.settings.batch_ttl_seconds)
    except RedisError as exc:
        logger.warning("Process %d runs batch %s, which is cancelled, and is killed later: %s", pid, doomed.batch, exc)
        return
    now = blackbox.read(context.folder, pid)
    if now is None or now.run != doomed.run:
        return  # it has gone on meanwhile
    logger.warning("Process %d runs batch %s, which is cancelled: killed", pid, doomed.batch)
    blackbox.remove(context.folder, pid)  # first: who is told of the death looks there for whom to blame
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _doomed(context: WorkerContext, batches: set[str]) -> set[str]:
    if not batches:
        return set()
    pipe = context.redis.pipeline(transaction=False)
    for batch in batches:
        pipe.hget(keys.batch(batch), "cancelled")
    try:
        flags = pipe.execute()
    except RedisError as exc:
        logger.warning("What is to be terminated could not be asked: %s", exc)
        return set()
    return {batch for batch, flag in zip(batches, flags, strict=True) if flag == keys.TERMINATED}


class TerminateStep(PeriodicStep):
    """Looks every `LOOK_SECONDS`, from the parent's event loop: a child that holds the GIL cannot look for itself."""

    idle_seconds = IDLE_SECONDS

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        return LOOK_SECONDS, lambda: terminate(worker_context(consumer.app))
