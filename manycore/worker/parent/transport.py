"""kombu's Redis transport behind a gate: no message reaches kombu or Celery before its form and signature were checked.

1. A task message is checked (`envelope`), opened and only then recorded as taken; what is refused is never requeued.
2. What is remote control, and not JSON of the right form, is dropped.
3. What cannot be restored when its lease has ended is put aside; it would hold up all that comes behind it.

Chosen by Celery's own setting `broker_transport`. kombu has no public name for what is overridden here: a test holds
the text of each, so that a new version of kombu is looked at.
"""

from __future__ import annotations

import logging
from binascii import Error as Base64Error
from functools import cached_property
from queue import Empty
from time import sleep
from typing import Any
from uuid import uuid4

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from manycore.errors import MessageRefused
from manycore.protocol import channel, keys
from manycore.protocol.message import batch_of
from manycore.protocol.script import Script
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent.elsewhere import Elsewhere
from manycore.worker.parent.envelope import Envelope, read_envelope
from manycore.worker.parent.refusals import refuse_raw
from manycore.worker.parent.strategy import check_call, reason_of

logger = logging.getLogger(__name__)
ACKNOWLEDGE = Script(__package__, "acknowledge")
LOST = (redis.ConnectionError, redis.TimeoutError, OSError, Empty)
"""What is no message's fault. kombu counts KeyError as a lost connection, too: one in a message would be requeued."""
PUT_BACK = """redis.call('del', KEYS[2]) return redis.call('rpush', KEYS[1], ARGV[1])"""
"""A full server runs the script of one that has begun to write to its end; deleting nothing is a write, and allowed."""
PAUSE_SECONDS = 0.25
UNWRITABLE = (redis.OutOfMemoryError, redis.ReadOnlyError)
"""What a server raises that answers and takes no writes: it is full, or a replica."""
REPLIES = ".pidbox"
"""How the queues end in which a client finds the answers to remote control; no worker consumes one."""


class TaskMessage(virtual.Message):
    """A message that is decoded when it is made: one that cannot be never becomes one."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **kwargs)  # type: ignore[no-untyped-call]
        except Base64Error as exc:
            raise MessageRefused("its body is not base64") from exc
        if isinstance(payload, Envelope):
            try:
                decoded = self.decode()  # type: ignore[no-untyped-call]
                check_call(decoded, self.headers["task"], self.headers["id"])
            except MessageRefused:
                raise
            except Exception as exc:  # kombu wraps what our decoder raises
                raise reason_of(exc) from exc


class QoS(kombu_redis.QoS):
    """kombu's record of deliveries, dated by the server's clock. It survives what is no message, and a full server.

    How far a chunk is goes with its message, in one step: so one that comes again, since its acknowledgement got lost,
    runs nothing.
    """

    def ack(self, delivery_tag: str) -> None:
        message = self._delivered.get(delivery_tag)
        identity = str(message.headers.get("id") or "") if message is not None else ""
        batch = batch_of(identity)
        kept = [keys.resume(batch)] if batch else []
        with self.channel.conn_or_acquire() as client:
            ACKNOWLEDGE.run(client, [self.unacked_index_key, self.unacked_key, *kept], [delivery_tag, identity])
        virtual.QoS.ack(self, delivery_tag)

    _sweeping = False
    """Whether what is restored now has lost its lease."""

    @property
    def visibility_timeout(self) -> float:
        """kombu takes it from this host's time, to find what was delivered before: so it holds what that one is off."""
        return float(self.channel.visibility_timeout - self.channel.context.clock.ahead_of_host())

    def append(self, message: Any, delivery_tag: str) -> None:
        """kombu's own, but for the clock."""
        delivery = message.delivery_info
        record = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
        now = self.channel.context.clock.now()
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: now})
            pipe.hset(self.unacked_key, delivery_tag, record)
            pipe.execute()
            virtual.QoS.append(self, message, delivery_tag)

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        self._sweeping = True
        try:
            super().restore_visible(start, num, interval)  # type: ignore[no-untyped-call]
        except UNWRITABLE as exc:
            logger.warning("Lost deliveries cannot be restored now: %s", exc)  # the next sweep tries again
        finally:
            self._sweeping = False

    def restore_unacked(self, client: Any = None) -> None:
        """On a connection that is gone there is nothing to restore with, and kombu's error would end the worker."""
        try:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]
        except (AttributeError, channel.ChannelGone):
            logger.warning("%d deliveries are restored when their leases end", len(self._delivered), exc_info=True)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
            self.channel.context.counts["leases_expired"] += self._sweeping
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
            self._put_aside(tag, client, exc)

    def _put_aside(self, tag: Any, client: Any, exc: Exception) -> None:
        with self.channel.conn_or_acquire(client) as client:
            raw = client.hget(self.unacked_key, tag) or b""
            self._remove_from_indices(tag, client.pipeline()).execute()  # type: ignore[no-untyped-call]
        self.channel.refuse(self.unacked_key, raw, MessageRefused(f"it cannot be restored: {exc!r:.100}"))


class Channel(channel.Channel):
    """Takes in task messages only after a look at them."""

    QoS = QoS
    Message = TaskMessage

    @cached_property
    def context(self) -> WorkerContext:
        """Not by transport options: those are what `inspect stats` tells, in JSON."""
        return worker_context(self.connection.client.app)

    @cached_property
    def elsewhere(self) -> Elsewhere:
        return Elsewhere(self.context.redis, self.context.app.tasks)

    def refuse(self, queue: str, raw: bytes, error: MessageRefused) -> None:
        refuse_raw(self.context, queue, raw, error)

    def _brpop_read(self, **options: Any) -> bool:
        """kombu's own, but for `_take` in place of its last step."""
        try:
            try:
                reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not reply:
                raise Empty
            queue = reply[0].decode().rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._take(queue, reply[1])
            return True
        finally:
            self._in_poll: Any = None
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call]

    def _take(self, queue: str, raw: bytes) -> None:
        if queue.endswith(REPLIES):
            self.connection._deliver(loads(raw), queue)
            return
        try:
            envelope = read_envelope(raw, queue, max_message_bytes=self.context.settings.max_message_bytes)
            if self.elsewhere(queue, envelope["headers"]["task"]):
                self._put_back(queue, raw)
                return
            # A name for each delivery: who lost its lease must not end that of whom the message came to next.
            envelope["properties"]["delivery_tag"] = str(uuid4())
            self.connection._deliver(envelope, queue)
        except MessageRefused as exc:
            self.refuse(queue, raw, exc)
        except redis.OutOfMemoryError:
            logger.warning("The server is full: messages stay where they are until there is room")
            self._put_back(queue, raw)

    def _put_back(self, queue: str, raw: bytes) -> None:
        """Return a message that is another's, or that a full server would not record; let others go on for a moment."""
        self.client.eval(PUT_BACK, 2, queue, f"{queue}.put-back", raw)
        sleep(PAUSE_SECONDS)

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)  # type: ignore[no-untyped-call]
        except LOST:
            raise
        except Exception as exc:  # a boundary: anybody can publish anything to the channels of remote control
            reason = exc if isinstance(exc, MessageRefused) else MessageRefused(f"{exc!r:.100}")
            self.refuse("remote control", b"", reason)
            raise Empty from exc

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:
        if (message.get("headers") or {}).get("compression"):
            raise MessageRefused("it is compressed")
        return super()._deliver_fanout_message(message, exchange)  # type: ignore[no-untyped-call]

    def _do_restore_message(
        self, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        if not isinstance(payload["headers"], dict) or not isinstance(payload["properties"], dict):
            raise TypeError("it is no message")  # kombu would write all of it to the log, and forget it
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # type: ignore[no-untyped-call]


class Transport(channel.Transport):
    """For `redis://` and `rediss://`."""

    Channel = Channel


class SocketTransport(Transport, channel.SocketTransport):
    """For a unix socket."""
