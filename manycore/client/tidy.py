"""Leaves no key of a batch behind: sets the flags that stop cancelled ones, and deletes what nobody needs any more.

A flag must stay while a message of its batch may still come up. So a cancelled batch is looked for in the queues, and
when none of its messages has been seen twice in a row, all of it is deleted. Whatever cannot be done now, since the
server is away or full, is tried again; if this process ends before, the TTL does it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from time import monotonic

import redis

from manycore.client.lane import Lane
from manycore.protocol import keys
from manycore.protocol.audit import Auditor
from manycore.protocol.record import Record
from manycore.protocol.settings import Settings

logger = logging.getLogger(__name__)
REFRESHES_PER_TTL = 4


class Tidier:
    """Of one session; safe to be used by several threads."""

    def __init__(
        self, client: redis.Redis, auditor: Auditor, record: Callable[[str], Record], settings: Settings
    ) -> None:
        self._redis = client
        self._auditor = auditor
        self._record = record
        self._settings = settings
        self._lock = threading.Lock()
        self._flags: dict[str, bytes] = {}
        self._gone: set[str] = set()
        self._draining: dict[str, bool] = {}
        self._queues: set[str] = set()
        self._next_look = 0.0
        self._next_refresh = monotonic() + settings.batch_ttl_seconds / REFRESHES_PER_TTL

    def note(self, lane: Lane) -> None:
        """Note the flag that a lane wants its workers to see: `work` sets it."""
        with self._lock:
            wanted, lane.flag_wanted = lane.flag_wanted, None
            if wanted is not None and lane.ledger.sent_items:
                self._flags[lane.id] = wanted

    def forget(self, lane: Lane) -> None:
        """Delete what a lane that has ended leaves; a named batch keeps its record and its outcomes."""
        tokens = [sent.payload_token for sent in lane.abandoned if sent.payload_token]
        if lane.record is None:  # a named batch that we leave may still need its payloads
            tokens += lane.ledger.open_payloads()
        with self._lock:
            self._gone |= {keys.payload(lane.id, token) for token in tokens}
            if lane.ephemeral and lane.stop_error is None:
                self._gone |= set(keys.owned_by(lane.id))
            elif lane.ephemeral:
                self._drain(lane)

    def delete(self, lane: Lane) -> None:
        """Delete all that Redis holds of a batch: now if it is done, else once its last message is gone."""
        with self._lock:
            if lane.stop_error is None:
                self._gone |= self._record(lane.id).all_keys()
            else:
                self._drain(lane)
        self.work()

    def work(self) -> None:
        """Do what is to be done and can be."""
        with self._lock:
            try:
                self._delete()
                self._set_flags()
                self._look_for_the_last()
            except redis.RedisError:
                logger.debug("Tidying up is tried again", exc_info=True)

    def close(self, last: Iterable[str]) -> None:
        """Do what can still be done, and delete these."""
        with self._lock:
            self._gone |= set(last)
        self.work()

    def refresh(self, lanes: list[Lane]) -> None:
        """Let nothing that these batches still need run into its TTL. Raises redis-py's errors."""
        if monotonic() < self._next_refresh:
            return
        refresh(self._redis, lanes, self._settings.batch_ttl_seconds)
        self._next_refresh = monotonic() + self._settings.batch_ttl_seconds / REFRESHES_PER_TTL

    def _drain(self, lane: Lane) -> None:
        self._draining[lane.id] = False
        self._queues |= lane.ledger.queues

    def _delete(self) -> None:
        """First of all: it makes room on a full server, and whoever comes for a deleted payload stops too."""
        if self._gone:
            self._redis.unlink(*self._gone)
            self._gone.clear()

    def _set_flags(self) -> None:
        for batch, flag in list(self._flags.items()):
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(keys.batch(batch), "cancelled", flag)
            pipe.expire(keys.batch(batch), self._settings.batch_ttl_seconds)
            pipe.execute()
            del self._flags[batch]

    def _look_for_the_last(self) -> None:
        """Delete the cancelled batches of which no message is left, as seen twice."""
        if not self._draining or monotonic() < self._next_look:
            return
        self._next_look = monotonic() + self._settings.audit_seconds
        for batch, items in self._auditor.in_flight(self._draining, self._queues).items():
            if not len(items) and self._draining[batch]:
                self._redis.unlink(*self._record(batch).all_keys())
                del self._draining[batch]
            else:
                self._draining[batch] = not len(items)


def refresh(client: redis.Redis, lanes: Iterable[Lane], ttl_seconds: int) -> None:
    """Give what these batches still need its whole TTL again."""
    pipe = client.pipeline(transaction=False)
    for key in {key for lane in lanes for key in keys_in_use(lane)}:
        pipe.expire(key, ttl_seconds)
    pipe.execute()


def keys_in_use(lane: Lane) -> set[str]:
    """The keys without which the rest of a batch could not run, or could not be gathered."""
    chunks = [sent.parcel.chunk for sent in lane.ledger.open if sent.parcel is not None]
    found = {keys.payload(lane.id, token) for token in lane.ledger.open_payloads()}
    found |= {keys.reference(digest) for chunk in chunks for digest in (chunk.function, chunk.code) if digest}
    return found | set(keys.owned_by(lane.id))
