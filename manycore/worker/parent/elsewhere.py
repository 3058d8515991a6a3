"""Tells which messages are for other workers of the same fleet: those whose task they know and this one does not.

A machine that has joined with `pip install manycore` alone does not have the tasks of the stack's image. To refuse them
would end items that the workers beside it can run; so they stay in the queue, and what is behind them is taken. Each is
looked at anew every few seconds. What no worker knows is refused, and what one has known that is gone only after a
while: it may be starting again, and thousands of items wait for it.
"""

from __future__ import annotations

import json
from time import monotonic

from manycore.protocol import keys
from manycore.protocol.roster import FRESH_SECONDS
from manycore.worker.context import WorkerContext


class Elsewhere:
    """Of one worker. Each says with its heartbeat which tasks it knows."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._anothers: dict[tuple[str, str], float] = {}

    def __call__(self, queue: str, task: object) -> bool:
        """Whether this task is another's. Raises redis-py's errors, only for a task that is not known here."""
        if not isinstance(task, str) or task in self._context.app.tasks:
            return False
        now = monotonic()
        if now - self._anothers.get((queue, task), float("-inf")) > FRESH_SECONDS:
            told_at = self._context.redis.zscore(keys.tasks(queue), task)
            if told_at is None or self._context.clock.now() - told_at > keys.TASKS_SECONDS:
                return False
            self._anothers[queue, task] = now
        return True

    def marks(self) -> str:
        """What is in the messages that were others' just now: lines. Celery writes JSON with blanks, we do without."""
        now = monotonic()
        self._anothers = {which: asked for which, asked in self._anothers.items() if now - asked < FRESH_SECONDS}
        tasks = sorted({task for _, task in self._anothers})
        return "\n".join(f'"task":{blank}{json.dumps(task)}' for task in tasks for blank in ("", " "))
