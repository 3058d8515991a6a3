"""What Flower shows of our queues and tasks."""

from __future__ import annotations

from typing import Any

import redis

from manycore.protocol.broker import QUEUES
from manycore.protocol.roster import live_workers


def fleets(client: redis.Redis) -> set[str]:
    """Those that are always spoken of, and those that have workers now; a server that is away is no reason to show no
    page."""
    try:
        return {*QUEUES, *(queue for worker in live_workers(client) for queue in worker.queues)}
    except redis.RedisError:
        return set(QUEUES)


def unquote(task: Any) -> Any:
    """A chunk's result without the quotes of its repr: `500 ok`."""
    if task.result and task.result.startswith("'"):
        task.result = task.result.strip("'")
    return task
