"""What Flower shows of our queues and tasks."""

from __future__ import annotations

from typing import Any

import redis

from manycore.protocol.broker import QUEUES
from manycore.protocol.message import batch_of
from manycore.protocol.roster import live_workers

UNSEEN = "(received before Flower looked)"


def fleets(client: redis.Redis) -> set[str]:
    """Those that are always spoken of, and those that have workers now; a server that is away is no reason to show no
    page."""
    try:
        return {*QUEUES, *(queue for worker in live_workers(client) for queue in worker.queues)}
    except redis.RedisError:
        return set(QUEUES)


def readable(task: Any) -> Any:
    """A task without the quotes around a chunk's result, `500 ok`; and without its batch in its arguments, `items 0-499
    of 10000`: its id begins with that. What was received while no Flower looked has no name there."""
    if task.result and task.result.startswith("'"):
        task.result = task.result.strip("'")
    if task.args and (batch := batch_of(task.uuid)):
        task.args = str(task.args).replace(f", batch {batch}", "", 1)
    task.name = task.name or UNSEEN
    return task
