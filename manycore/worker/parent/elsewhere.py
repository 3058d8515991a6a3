"""Tells which messages are for other workers of the same fleet: those whose task they know and this one does not.

A machine that has joined with `pip install manycore` alone does not have the tasks of the stack's image. To refuse them
would end items that the workers beside it can run; so they stay in the queue, and what is behind them is taken. Each is
looked at anew every few seconds: who knew it may be gone. What no worker knows is refused.
"""

from __future__ import annotations

import json
from collections.abc import Container
from time import monotonic

import redis

from manycore.protocol.roster import FRESH_SECONDS, Worker, live_workers


class Elsewhere:
    """Of one worker, which knows the tasks `own`."""

    def __init__(self, client: redis.Redis, own: Container[str]) -> None:
        self._redis = client
        self._own = own
        self._workers: list[Worker] = []
        self._seen_at = float("-inf")
        self._known: dict[str, float] = {}

    def __call__(self, queue: str, task: object) -> bool:
        """Whether this task is another's. Raises redis-py's errors, only for a task that is not known here."""
        if not isinstance(task, str) or task in self._own:
            return False
        if monotonic() - self._seen_at > FRESH_SECONDS:
            self._workers, self._seen_at = live_workers(self._redis), monotonic()
        is_anothers = any(queue in worker.queues and task in worker.tasks for worker in self._workers)
        if is_anothers:
            self._known[task] = monotonic()
        return is_anothers

    def marks(self) -> str:
        """What is in the messages that were others' just now: lines. Celery writes JSON with blanks, we do without."""
        now = monotonic()
        self._known = {task: since for task, since in self._known.items() if now - since < FRESH_SECONDS}
        return "\n".join(f'"task":{blank}{json.dumps(task)}' for task in sorted(self._known) for blank in ("", " "))
