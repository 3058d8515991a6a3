"""Looks after batches whose clients have handed them over (`Batch.detach`): what got lost of them is sent again.

One worker of the cluster at a time is on watch, by a key that expires with it. It learns which items are answered
from the outcome streams, without unpickling a value, and what is under way as a client does (`audit`). A payload that
Redis itself has lost cannot be sent again: its items then end in `MessageRefused`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from kombu.exceptions import OperationalError
from redis import RedisError

from manycore.client.attached import attached_lane
from manycore.client.lane import Lane
from manycore.client.sinks import Nobody
from manycore.client.stream import OutcomeStream
from manycore.client.tidy import refresh
from manycore.errors import BatchIncomplete, MessageRefused, UnknownBatch
from manycore.protocol import keys
from manycore.protocol.audit import Auditor
from manycore.protocol.record import Record
from manycore.worker.context import WorkerContext
from manycore.worker.parent.periodic import PeriodicStep

logger = logging.getLogger(__name__)
ROUNDS_PER_WATCH = 3
"""A watch that is not kept for so many rounds is another worker's."""


class Watchman:
    """Of one worker. `look` makes one round; it does little unless this worker is on watch."""

    def __init__(self, context: WorkerContext, name: str) -> None:
        self._context = context
        self._redis = context.redis
        self._name = name.encode()
        self._ttl = context.settings.batch_ttl_seconds
        self._auditor = Auditor(context.redis, context.keyring)
        self._stream = OutcomeStream(context.redis, context.keyring, values=False)
        self._lanes: dict[str, Lane] = {}

    def look(self) -> None:
        """Make one round. Raises redis-py's and kombu's errors when the server is away or full."""
        if not self._redis.exists(keys.DETACHED) or not self._on_watch():
            self._lanes.clear()
            return
        for batch in self._detached():
            self._take_in(batch)
        self._redis.expire(keys.DETACHED, self._ttl)
        refresh(self._redis, self._lanes.values(), self._ttl)  # nothing that they need may run into its TTL
        queues = {queue for lane in self._lanes.values() for queue in lane.ledger.queues}
        covered = self._auditor.in_flight(self._lanes, queues)
        for batch, lane in self._lanes.items():
            for parcel, indices in lane.lost(covered[batch]):
                logger.warning("Items %d-%d of %s got lost; sent again", indices.start, indices.stop - 1, batch)
                part, program = parcel.again(indices.start, indices.stop), parcel.program
                self._context.publisher.publish([(part.chunk, b"")], queue=program.queue, shadow=program.shadow)

    def _on_watch(self) -> bool:
        """Whether the watch is this worker's; it takes it if it is nobody's."""
        milliseconds = int(ROUNDS_PER_WATCH * self._context.settings.audit_seconds * 1000)
        if self._redis.set(keys.WATCH, self._name, nx=True, px=milliseconds):
            return True
        mine = self._redis.get(keys.WATCH) == self._name
        if mine:
            self._redis.pexpire(keys.WATCH, milliseconds)
        return mine

    def _detached(self) -> list[str]:
        found: Any = self._redis.zrange(keys.DETACHED, 0, -1)
        batches = [batch.decode() for batch in found]
        self._lanes = {batch: lane for batch, lane in self._lanes.items() if batch in batches}
        return batches

    def _take_in(self, batch: str) -> None:
        """Learn what was answered since the last round; a batch that is done or given up needs no watch."""
        try:
            if batch not in self._lanes:
                record = Record(self._redis, self._context.keyring, batch, self._ttl)
                self._lanes[batch], _ = attached_lane(record, Nobody())
            lane = self._lanes[batch]
            self._stream.replay(lane)
            lane.check_finished()
            over = lane.ended.is_set() or self._redis.hexists(keys.batch(batch), "cancelled")
        except (UnknownBatch, BatchIncomplete, MessageRefused) as exc:
            logger.warning("Batch %s cannot be looked after: %s", batch, exc)
            over = True
        if over:
            self._lanes.pop(batch, None)
            self._redis.zrem(keys.DETACHED, batch)


class WatchStep(PeriodicStep):
    """Makes a round every `audit_seconds`, on a thread: the event loop has leases to renew meanwhile."""

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        context: WorkerContext = consumer.app.manycore
        watchman, making = Watchman(context, consumer.hostname), threading.Lock()

        def make_round() -> None:
            with making:
                try:
                    watchman.look()
                except (RedisError, OperationalError) as exc:
                    logger.warning("Detached batches could not be looked after: %s", exc)

        def begin_round() -> None:
            if not making.locked():
                threading.Thread(target=make_round, name="manycore-watch", daemon=True).start()

        return context.settings.audit_seconds, begin_round
