"""Keeps the leases of exactly this worker's deliveries, so that a long chunk is not taken for a lost one.

kombu restores a message that has been unacknowledged for `visibility_timeout`, counted from its delivery. Renewing the
score of our own deliveries makes that the time since their worker was last alive instead. Scores are times of the
server's clock (`transport`): hosts' own may be apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from redis import RedisError

from manycore.protocol.script import Script
from manycore.worker.context import worker_context
from manycore.worker.parent.deliveries import running
from manycore.worker.parent.periodic import PeriodicStep

logger = logging.getLogger(__name__)
SCRIPT = Script(__package__, "leases")
RENEWALS_PER_LEASE = 5
"""More survive a longer pause of the parent, fewer cost less."""


class Leases:
    """The leases of what a consumer has been delivered and has not acknowledged."""

    def __init__(self, consumer: Any) -> None:
        self._context = worker_context(consumer.app)
        self._qos = consumer.task_consumer.channel.qos

    def held(self) -> list[str]:
        """The tags of the deliveries that this worker holds, and of what it kept as a connection was lost.

        `QoS._delivered` is kombu's own record of them, which those that are done with (`_dirty`) leave at the next
        delivery. Neither has a public name; a test holds their shape.
        """
        delivered = list(self._qos._delivered)
        kept = (running() | set(self._context.owed)).difference(delivered)
        return [*(tag for tag in delivered if tag not in self._qos._dirty), *kept]

    def renew(self) -> None:
        """Move the leases to now. One that was restored meanwhile is left alone (`XX`)."""
        try:
            self._score(self._context.clock.now())
            self._context.counts["leases_renewed"] += len(self.held())
        except RedisError as exc:
            logger.warning("The leases of %d deliveries could not be renewed: %s", len(self.held()), exc)

    def let_go(self) -> None:
        """Put the messages back now, as a sweep would that finds their leases over: but that counts those, and an alarm
        rings for them. Raises redis-py's errors."""
        self._score(0.0)  # all at once, first: to put them back takes a step for each
        for tag in self.held():
            self._qos.restore_by_tag(tag, self._context.redis)

    def _score(self, when: float) -> None:
        tags = self.held()
        if tags:
            SCRIPT.run(self._context.redis, [self._qos.unacked_index_key], [when, *tags])


class LeaseStep(PeriodicStep):
    """Renews every few seconds, from the parent's event loop: a parent that hangs lets its leases go."""

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        interval = worker_context(consumer.app).settings.lease_seconds / RENEWALS_PER_LEASE
        leases = Leases(consumer)
        leases.renew()  # nobody could while there was no connection
        return interval, leases.renew
