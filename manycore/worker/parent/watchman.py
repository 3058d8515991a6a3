"""Looks after batches whose clients have handed them over (`Batch.detach`): what got lost of them is sent again.

One worker of the cluster at a time is on watch, by a key that expires with it. It learns which items are answered
from the outcome streams, without unpickling a value, and what is under way as a client does (`audit`). A payload that
Redis itself has lost cannot be sent again: its items then end in `MessageRefused`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis import RedisError

from manycore.errors import BatchIncomplete, MessageRefused, UnknownBatch
from manycore.protocol import account, keys
from manycore.protocol.audit import Auditor
from manycore.protocol.custody import Custody, refresh
from manycore.protocol.entries import Rejected, read_entry
from manycore.protocol.record import ENTRIES_PER_READ, Record
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent.periodic import PeriodicStep

logger = logging.getLogger(__name__)
ROUNDS_PER_WATCH = 3
"""A watch that is not kept for so many rounds is another worker's."""


@dataclass(slots=True)
class Ward:
    """A batch that is looked after: since when, its record, its custody, and how far its stream was read."""

    since: float
    record: Record
    custody: Custody
    last_read: str = "0-0"


class Watchman:
    """Of one worker. `look` makes one round; it does little unless this worker is on watch."""

    def __init__(self, context: WorkerContext, name: str) -> None:
        self._context = context
        self._redis = context.redis
        self._name = name.encode()
        self._ttl = context.settings.batch_ttl_seconds
        self._auditor = Auditor(context.redis, context.keyring)
        self._wards: dict[str, Ward] = {}

    def is_wanted(self) -> bool:
        """Whether there is anything to look after. Raises redis-py's errors when the server is away."""
        return bool(self._wards) or bool(self._redis.exists(keys.DETACHED))

    def look(self) -> None:
        """Make one round. Raises redis-py's errors when the server is away or full."""
        if not self._redis.exists(keys.DETACHED) or not self._on_watch():
            self._wards.clear()
            return
        for batch, since in self._detached().items():
            self._take_in(batch, since)
        self._redis.expire(keys.DETACHED, self._ttl)
        kept = {batch: ward.custody for batch, ward in self._wards.items()}
        refresh(self._redis, kept, self._ttl)  # nothing that they need may run into its TTL
        self._tell(kept, {"seen": True})
        queues = {queue for custody in kept.values() for queue in custody.ledger.queues}
        covered = self._auditor.in_flight(kept, queues)
        for batch, custody in kept.items():
            for parcel, indices in custody.lost(covered[batch]):
                logger.warning("Items %d-%d of %s got lost; sent again", indices.start, indices.stop - 1, batch)
                part, program = parcel.again(indices.start, indices.stop), parcel.program
                self._context.publisher.publish([(part.chunk, b"")], queue=program.queue, shadow=program.shadow)

    def _on_watch(self) -> bool:
        """Whether the watch is this worker's; it takes it if it is nobody's."""
        milliseconds = int(ROUNDS_PER_WATCH * self._context.settings.audit_seconds * 1000)
        if self._redis.set(keys.WATCH, self._name, nx=True, px=milliseconds):
            return True
        mine = self._redis.get(keys.WATCH) == self._name
        if mine or not 0 <= self._redis.pttl(keys.WATCH) <= milliseconds:  # a watch without an end is nobody's
            self._redis.pexpire(keys.WATCH, milliseconds)
        return mine

    def _detached(self) -> dict[str, float]:
        """Batch -> since when: one that was deleted and handed over anew is another, of which nothing is known."""
        found: Any = self._redis.zrange(keys.DETACHED, 0, -1, withscores=True)
        batches = {}
        for name, since in found:
            try:
                batches[name.decode()] = since
            except UnicodeDecodeError:
                self._redis.zrem(keys.DETACHED, name)  # no batch is called that
        self._wards = {batch: ward for batch, ward in self._wards.items() if batches.get(batch) == ward.since}
        return batches

    def _take_in(self, batch: str, since: float) -> None:
        """Learn what was answered since the last round; a batch that is done or given up needs no watch."""
        ward: Ward | None = None
        try:
            ward = self._wards.get(batch) or self._begin(batch, since)
            self._read(batch, ward)
            over = ward.custody.ledger.complete or self._redis.hexists(keys.batch(batch), "cancelled")
        except (UnknownBatch, BatchIncomplete, MessageRefused) as exc:
            logger.warning("Batch %s cannot be looked after: %s", batch, exc)
            over = True
        if over:
            self._wards.pop(batch, None)
            self._redis.zrem(keys.DETACHED, batch)
            if ward is not None:
                ledger = ward.custody.ledger
                answered = {"end": "done", "set": {"done": len(ledger.answered)}}
                self._tell([batch], answered if ledger.complete else {"end": "cancelled"})

    def _tell(self, batches: Iterable[str], told: dict[str, Any]) -> None:
        """Tell the accounts of these batches."""
        pipe = self._redis.pipeline(transaction=False)
        account.execute(pipe, [account.tell(pipe, batch, self._ttl, told) for batch in batches])

    def _begin(self, batch: str, since: float) -> Ward:
        record = Record(self._redis, self._context.keyring, batch, self._ttl)
        _, parcels = record.attach()
        ward = self._wards[batch] = Ward(since, record, Custody.of(parcels, record.total or 0))
        return ward

    def _read(self, batch: str, ward: Ward) -> None:
        """Learn from the outcome stream which items are answered; no value is unpickled."""
        stream = keys.outcomes(batch)
        while found := self._redis.xrange(stream, min=f"({ward.last_read}", count=ENTRIES_PER_READ):
            entries: Any = found
            for entry_id, fields in entries:
                ward.last_read = entry_id.decode()
                with suppress(MessageRefused):  # a client that gathers will say so
                    self._take(batch, ward, fields)

    def _take(self, batch: str, ward: Ward, fields: dict[bytes, bytes]) -> None:
        entry = read_entry(self._redis, self._context.keyring, batch, fields)
        if not isinstance(entry, Rejected):
            if ward.record.owns(entry):
                ward.custody.answer(entry.block.indices)
        elif (sent := ward.custody.ledger.find(entry.chunk)) is not None:
            ward.custody.answer(range(sent.start, sent.stop))


@contextmanager
def _riding_out() -> Iterator[None]:
    """Leave it to the next round, where the server is away."""
    try:
        yield
    except RedisError as exc:
        logger.warning("Detached batches could not be looked after: %s", exc)


class WatchStep(PeriodicStep):
    """Makes a round every `audit_seconds`, on a thread: the event loop has leases to renew meanwhile. None is begun
    where no batch was handed over, which is the rule."""

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        context = worker_context(consumer.app)
        watchman, making = Watchman(context, consumer.hostname), threading.Lock()

        def make_round() -> None:
            with making, _riding_out():
                watchman.look()

        def begin_round() -> None:
            with _riding_out():
                if not making.locked() and watchman.is_wanted():
                    threading.Thread(target=make_round, name="manycore-watch", daemon=True).start()

        return context.settings.audit_seconds, begin_round
