"""kombu's record of what a worker was delivered and has not acknowledged: dated by the server's clock.

It survives what is no message, and a server that takes no writes. `take.lua` makes its entries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import redis
from celery.worker import state
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from manycore.errors import MessageRefused
from manycore.protocol import keys
from manycore.protocol.broker import AWAY, FULL, SWEEP_SECONDS
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.message import batch_of
from manycore.protocol.script import Script
from manycore.worker.context import WorkerContext

logger = logging.getLogger(__name__)
ACKNOWLEDGE, RETURN = Script(__package__, "acknowledge"), Script(__package__, "return")
LONG_SECONDS = 3 * SWEEP_SECONDS
"""Between two sweeps: longer, and nobody could sweep, or renew a lease; of a short lease when most of it is over."""
LONG_SHARE = 0.8
FIRST_SECONDS = 10.0
"""How long one that has just started lets others come back first: as long as those wait, between two attempts, for a
server that has been away for half a minute."""


def active() -> list[Any]:
    """Celery's requests that run. Any thread may ask: to iterate over a weak set fails where it changes."""
    return [request for held in list(state.active_requests.data) if (request := held()) is not None]


def running() -> set[str]:
    """The tags of the deliveries that run, whichever connection they came by."""
    return {request.message.delivery_tag for request in active()}


class QoS(kombu_redis.QoS):
    """How far a chunk is goes with its message, in one step.

    So one that comes again, since its acknowledgement got lost, runs nothing.
    """

    def __init__(self, channel: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)  # type: ignore[no-untyped-call]
        self._done: set[str] = set()
        self._kept: dict[str, Any] = {}
        """What still ran as the connection was lost that it came by, by its tag."""
        self._context = channel.context  # which it does not find any more once it is closed

    def can_consume(self) -> bool:
        """Also until what was asked for is answered: kombu would not read it, and a message in it would be nobody's
        until its lease ends. What there is no slot for by then, `transport` leaves to others."""
        return bool(self.channel._in_poll or super().can_consume())  # type: ignore[no-untyped-call]

    def is_done(self, delivery_tag: str) -> None:
        """Its child has acknowledged this delivery, with the last outcomes: there is no need to tell the server."""
        self._done.add(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self._or_owe(delivery_tag, lambda: self._ack(delivery_tag))

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._or_owe(delivery_tag, lambda: kombu_redis.QoS.reject(self, delivery_tag, requeue))

    def _or_owe(self, tag: str, step: Callable[[], None]) -> None:
        """Take a step that ends a delivery, later if the server refuses it now; until then its lease goes on."""
        try:
            step()
            self._context.owed.pop(tag, None)
        except redis.ResponseError as exc:
            if tag not in self._context.owed:
                logger.warning("That a message is done with cannot be written now: %s", exc)
            self._context.owed[tag] = step

    def _ack(self, delivery_tag: str) -> None:
        if delivery_tag in self._done:
            self._done.discard(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
            return
        message = self._delivered.get(delivery_tag) or self._kept.get(delivery_tag)
        identity = str(message.headers.get("id") or "") if message is not None else ""
        batch = batch_of(identity)
        kept = [keys.resume(batch)] if batch else []
        with self.channel.conn_or_acquire() as client:
            ACKNOWLEDGE.run(client, [self.unacked_index_key, self.unacked_key, *kept], [delivery_tag, identity])
        virtual.QoS.ack(self, delivery_tag)

    def put_back(self, delivery_tag: str, queue: str, place: str) -> None:
        """Leave a delivery to others, in the list `place` of its queue. Raises redis-py's errors: then it is kept, and
        may be there all the same."""
        self.leave(self._context.redis, delivery_tag, queue, place)
        virtual.QoS.ack(self, delivery_tag)

    def leave(self, client: Any, delivery_tag: str, queue: str, place: str | bytes) -> None:
        """The same on the server alone: of what was recorded, and is no delivery here."""
        where = [self.unacked_key, self.unacked_index_key, place, keys.bell(queue)]
        RETURN.run(client, where, [delivery_tag, dumps(queue), keys.BELL_TTL_SECONDS])

    _sweeping = False
    """Whether what is restored now has lost its lease."""

    @property
    def visibility_timeout(self) -> float:
        """kombu takes it from this host's time, to find what was delivered before: so it holds what that one is off."""
        return float(self.channel.visibility_timeout - self._context.clock.ahead_of_host())

    def append(self, message: Any, delivery_tag: str) -> None:
        """It is in Redis already, since it was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def forget(self, delivery_tag: str) -> None:
        """Delete the record of what was taken and is refused."""
        self._remove_from_indices(delivery_tag).execute()  # type: ignore[no-untyped-call]

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        for tag, step in list(self._context.owed.items()):
            self._or_owe(tag, step)
        now = self._context.clock.now()
        try:
            if self._must_wait(now):
                self._context.redis.zrem(self.unacked_index_key, "")  # changes nothing, and is refused as any write is
            else:
                self._sweep(start, num, interval)
            self._context.swept_at = now
        except redis.ResponseError as exc:
            if isinstance(exc, (*AWAY, FULL)):
                self._context.sweeps_from = now + self.channel.visibility_timeout
            logger.warning("Lost deliveries cannot be restored now: %s", exc)  # a later sweep tries again

    def _must_wait(self, now: float) -> bool:
        """Whether leases may be over that others are about to renew: for as long as a lease after a time in which
        nobody could, since the server was away, or took no writes, or stood still as this machine did. One that has
        just started does not know whether there was such a time."""
        context: WorkerContext = self._context
        lease = float(self.channel.visibility_timeout)
        long = max(2 * SWEEP_SECONDS, min(LONG_SECONDS, LONG_SHARE * lease))
        if context.swept_at is None:
            context.sweeps_from = now + min(FIRST_SECONDS, lease)
        elif now - context.swept_at > long:
            context.sweeps_from = now + lease
        return now < context.sweeps_from <= now + lease  # else the server's clock was set back

    def _sweep(self, start: int, num: int, interval: int) -> None:
        self._sweeping = True
        try:
            super().restore_visible(start, num, interval)  # type: ignore[no-untyped-call]
        finally:
            self._sweeping = False

    def restore_unacked(self, client: Any = None) -> None:
        """Leave to others what does not run, as the connection is lost. What runs goes on here, and what has ended is
        told later: the next connection renews the leases (`leases`). Where the server is gone, too, they end."""
        if state.should_terminate is None:
            for tag in (running() | self._context.owed.keys()) & self._delivered.keys():
                self._kept[tag] = self._delivered.pop(tag)
        try:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]
        except (AttributeError, redis.RedisError):  # no traceback: how kombu fails says nothing of why
            text = "The connection is gone. Deliveries that are restored when their leases end: %d"
            logger.warning(text, len(self._delivered))

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
            self._context.counts["leases_expired"] += self._sweeping
        except UNREADABLE as exc:
            self._put_aside(tag, client, exc)

    def _put_aside(self, tag: Any, client: Any, exc: Exception) -> None:
        with self.channel.conn_or_acquire(client) as client:
            raw = client.hget(self.unacked_key, tag) or b""
            self._remove_from_indices(tag, client.pipeline()).execute()  # type: ignore[no-untyped-call]
        self.channel.refuse(self.unacked_key, raw, MessageRefused(f"it cannot be restored: {exc!r:.100}"))
