"""Leaves no key of a batch behind: sets the flags that stop cancelled ones, and deletes what nobody needs any more.

A flag must stay while a message of its batch may still come up. So a cancelled batch is looked for in the queues, and
when none of its messages has been seen twice in a row, all of it is deleted. Whatever cannot be done now, since the
server is away or full, is tried again; if this process ends before, the TTL does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, cast

import redis

from manycore.client.lane import Lane
from manycore.client.objects import Objects
from manycore.protocol import account, keys
from manycore.protocol.audit import Auditor
from manycore.protocol.custody import refresh
from manycore.protocol.flag import set_flag
from manycore.protocol.ledger import Sent
from manycore.protocol.record import Record
from manycore.protocol.references import References
from manycore.protocol.settings import Settings

logger = logging.getLogger(__name__)
REFRESHES_PER_TTL = 4


class Tidier:
    """Of one session; the housekeeper's thread alone uses it."""

    def __init__(
        self,
        client: redis.Redis,
        auditor: Auditor,
        record: Callable[[str], Record],
        references: References,
        objects: Objects,
        settings: Settings,
    ) -> None:
        self._objects = objects
        self._redis = client
        self._auditor = auditor
        self._record = record
        self._references = references
        self._settings = settings
        self._over: set[str] = set()
        self._flags: dict[str, bytes] = {}
        self._told: set[str] = set()
        """Batches whose workers were told that they are stopped, and that are not over."""
        self._gone: set[str] = set()
        self._draining: dict[str, bool] = {}
        self._forgotten: set[str] = set()
        self._unmarked: set[str] = set()
        """Of those that are deleted, whose record does not say so yet."""
        self._queues: set[str] = set()
        self._next_look = 0.0
        self._next_refresh = monotonic() + settings.batch_ttl_seconds / REFRESHES_PER_TTL

    def flag(self, lane: Lane, flag: bytes, abandoned: Sequence[Sent] = ()) -> None:
        """Tell the workers of a batch that it is stopped; the payloads of these chunks are needed no more."""
        self._flags[lane.id] = flag
        self._told.add(lane.id)
        self._gone |= {keys.payload(lane.id, sent.payload_token) for sent in abandoned if sent.payload_token}
        if lane.ephemeral and lane.over:
            self.drain(lane)

    def flagged(self, lane: Lane) -> None:
        """Somebody else has told its workers: the flag stays until each of its messages has met it."""
        if lane.ephemeral:
            self._told.add(lane.id)

    def spare(self, batch: str) -> None:
        """A named batch begins again: what its earlier run here has left to do must not meet it.

        A flag that is not set yet is set first, for that run to be told from this one: messages of it still come up,
        and find their payloads gone. Where the server is away, the payloads stay, and so does what comes up.
        """
        if batch in self._flags:
            try:
                self._set_flags()
            except redis.RedisError:
                self._gone = {key for key in self._gone if not key.startswith(keys.payload(batch, ""))}
        self._flags.pop(batch, None)
        self._told.discard(batch)
        self._draining.pop(batch, None)
        self._over.discard(batch)
        self._references.forget(batch)
        self._unmarked.discard(batch)
        if batch in self._forgotten:
            self._forgotten.discard(batch)
            self._record(batch).erase(self._redis)

    def forget(self, lane: Lane) -> None:
        """Delete what a lane that is over leaves; a named batch keeps its record, its outcomes and its payloads."""
        if not lane.ephemeral:
            self._references.forget(lane.id)
            return
        self._objects.forget_results(lane.id)
        self._gone |= {keys.payload(lane.id, token) for token in lane.abandoned()}
        if lane.id in self._told:
            self._told.discard(lane.id)
            self.drain(lane)
        else:
            self.end(lane.id)

    def drain(self, lane: Lane, *, account_too: bool = False) -> None:
        """Delete all that Redis holds of a batch once its last message is gone; its account stays to be looked at."""
        if account_too:
            self._forgotten.add(lane.id)
            self._unmarked.add(lane.id)
        self._draining[lane.id] = False
        self._queues |= lane.ledger.queues

    def deleted(self, batch: str) -> None:
        """Nobody can want what a named batch has kept in shared memory."""
        self._objects.forget_results(batch)
        self._objects.let_go(batch)

    def shares_objects(self, batch: str, other: str) -> None:
        """Another named batch runs with the arguments of this one."""
        self._objects.share(batch, other)

    def end(self, batch: str) -> None:
        """Delete all that Redis holds of a batch that is over, but payloads."""
        self._gone |= set(keys.of_callers(batch))
        self._over.add(batch)

    def work(self) -> None:
        """Do what is to be done and can be. Flags come first: whoever misses a payload must find why."""
        for duty in (self._set_flags, self._delete, self._look_for_the_last, self._release, self._objects.tidy):
            try:
                duty()
            except redis.RedisError:
                logger.debug("Tidying up is tried again", exc_info=True)

    def refresh(self, lanes: list[Lane]) -> None:
        """Let nothing that these batches still need run into its TTL. Raises redis-py's errors."""
        self._objects.refresh()
        if monotonic() < self._next_refresh:
            return
        kept = {lane.id: lane.custody for lane in lanes if not lane.over}
        refresh(self._redis, kept, self._settings.batch_ttl_seconds)
        self._next_refresh = monotonic() + self._settings.batch_ttl_seconds / REFRESHES_PER_TTL

    def _delete(self) -> None:
        if self._gone:
            self._redis.unlink(*self._gone)
            self._gone.clear()

    def _release(self) -> None:
        """Let go of the functions and the code of batches that are over."""
        for batch in list(self._over):
            self._references.release(self._redis, batch)
            self._over.discard(batch)
        self._references.drop_idle(self._redis)

    def _set_flags(self) -> None:
        ttl = self._settings.batch_ttl_seconds
        for batch, flag in list(self._flags.items()):
            set_flag(self._redis, batch, "cancelled", flag, ttl)
            del self._flags[batch]
        for batch in list(self._unmarked):
            set_flag(self._redis, batch, "deleted", b"1", ttl)
            self._unmarked.discard(batch)

    def _look_for_the_last(self) -> None:
        """Delete the cancelled batches of which no message is left, as seen twice."""
        if not self._draining or monotonic() < self._next_look:
            return
        self._next_look = monotonic() + self._settings.audit_seconds
        for batch, items in self._auditor.in_flight(self._draining, self._queues).items():
            if len(items) or not self._draining[batch]:
                self._draining[batch] = not len(items)
                continue
            if not self._has_begun_anew(batch):
                self._record(batch).erase(self._redis)
                self._over.add(batch)
                if batch in self._forgotten:
                    account.remove(self._redis, batch)
                self.deleted(batch)
            self._forgotten.discard(batch)
            del self._draining[batch]  # last: what the server does not take now is tried again

    def _has_begun_anew(self, batch: str) -> bool:
        """Whether another client has begun a batch again that was deleted here."""
        if batch not in self._forgotten:
            return False
        function, deleted = cast(Any, self._redis.hmget(keys.batch(batch), "function", "deleted"))
        return function is not None and deleted is None
