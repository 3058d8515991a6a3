"""What Flower shows of our queues and tasks."""

from __future__ import annotations

from typing import Any

import redis

from manycore.protocol.broker import BRIEF_SECONDS, QUEUES, connect
from manycore.protocol.roster import live_workers
from manycore.protocol.settings import load_settings


def show_all_queues() -> None:
    """Show the queues of all fleets: Flower itself shows those of the workers that it met when it started."""
    from flower.views import BaseHandler

    found = BaseHandler.get_active_queue_names
    client = connect(load_settings(), BRIEF_SECONDS)
    BaseHandler.get_active_queue_names = lambda handler: sorted({*QUEUES, *found(handler), *fleets(client)})


def fleets(client: redis.Redis) -> set[str]:
    """Those that have workers now; none while the server is away, which is no reason to show no page."""
    try:
        return {queue for worker in live_workers(client) for queue in worker.queues}
    except redis.RedisError:
        return set()


def unquote(task: Any) -> Any:
    """A chunk's result without the quotes of its repr: `500 ok`."""
    if task.result and task.result.startswith("'"):
        task.result = task.result.strip("'")
    return task
