"""What waits in each fleet's queue, since when, what is in work, and who takes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis

from manycore.protocol.activity import activities
from manycore.protocol.clock import ServerClock
from manycore.protocol.envelope import SENT
from manycore.protocol.junk import UNREADABLE, moment
from manycore.protocol.priority import PRIORITY_SUFFIXES


class Queues:
    """Raises redis-py's errors when the server is away."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client
        self._clock = ServerClock(client)

    def rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """One for each queue: messages that wait and seconds since the oldest was sent (None if that is not said),
        messages in work, workers, slots and how many of them are busy."""
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            for suffix in PRIORITY_SUFFIXES:
                pipe.llen(name + suffix)
                pipe.lindex(name + suffix, -1)
        found, now = pipe.execute(), self._clock.now()
        workers, size = activities(self._redis), 2 * len(PRIORITY_SUFFIXES)
        rows = []
        for place, name in enumerate(names):
            part = found[place * size : (place + 1) * size]
            sent = [when for message in part[1::2] if (when := sent_at(message)) is not None]
            taking = [worker for worker in workers if name in worker.queues]
            rows.append(
                {
                    "name": name,
                    "waiting": sum(part[::2]),
                    "oldest_seconds": max(0.0, now - min(sent)) if sent else None,
                    "in_work": sum(worker.leases for worker in taking),
                    "consumers": len(taking),
                    "slots": sum(worker.slots for worker in taking),
                    "busy": sum(len(worker.busy) for worker in taking),
                }
            )
        return rows


def sent_at(message: bytes | None) -> float | None:
    """When a message was sent (epoch seconds), as its header says; plain Celery's does not."""
    try:
        return moment(json.loads(message or b"")["headers"][SENT])
    except UNREADABLE:
        return None
