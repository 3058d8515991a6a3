"""Keeps two copies of a message from running a struck item at once: together they could run it once too often.

A chunk that was taken for lost and sent again can be there twice. An item that has killed a process is claimed before
it runs: its strikes and its executions under way together must not exceed `max_executions`. If they would, it is
postponed, until the other copy's outcome, or its strike, decides. What stays postponed has died without a strike, and
gets its verdict. Only items with a strike pay for this.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from redis import Redis, RedisError

from manycore.errors import WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.failure import dump_error
from manycore.protocol.message import Chunk
from manycore.worker.child.turn import Doomed, Postponed, Struck
from manycore.worker.strikes import Strike, strike_of

logger = logging.getLogger(__name__)
MAX_POSTPONEMENTS = 5
"""Each takes a lease: whatever the other copy ran on has come to its end by then, or to another worker."""


@dataclass(frozen=True, slots=True)
class Claims:
    """For the struck items of one chunk."""

    redis: Redis
    chunk: Chunk
    max_executions: int
    ttl_seconds: int
    put_aside: Callable[[int, Strike], object]
    """Called for the item at a position that gets its verdict here."""

    def struck(self, item: object, position: int, strike: Strike) -> Struck:
        """The item at `position`, to be claimed before it runs."""
        return Struck(item, lambda: self._take(position, strike), lambda: self._end(self.chunk.index(position)))

    def _take(self, position: int, strike: Strike) -> None:
        """Raise `Postponed` if the item must not run now, `Doomed` if never again."""
        index, key = self.chunk.index(position), keys.claims(self.chunk.batch)
        pipe = self.redis.pipeline(transaction=False)
        pipe.hincrby(key, str(index), 1)
        pipe.expire(key, self.ttl_seconds)
        pipe.hget(keys.strikes(self.chunk.batch), str(index))
        try:
            under_way, _, known = pipe.execute()
        except RedisError as exc:
            raise Postponed from exc
        strikes = (strike_of(known) or strike).count
        if strikes + under_way <= self.max_executions:
            return
        self._end(index)
        if self.chunk.postponed < MAX_POSTPONEMENTS:
            raise Postponed
        last = replace(strike, count=strikes + under_way - 1)
        self.put_aside(position, last)
        raise Doomed(dump_error(WorkerCrashed(last.count, last.cause), last.trace))

    def _end(self, index: int) -> None:
        """The execution has come to its end, and took no process along."""
        batch, pipe = self.chunk.batch, self.redis.pipeline(transaction=False)
        pipe.hincrby(keys.claims(batch), str(index), -1)
        pipe.expire(keys.claims(batch), self.ttl_seconds)
        try:
            pipe.execute()
        except RedisError:
            logger.warning("The end of item %d of batch %s was not noted; it counts as a death", index, batch)
