"""kombu's Redis transport behind a gate: no message reaches kombu or Celery before its form and signature were checked.

1. A message is taken and recorded in one step (`take.lua`): whenever its worker dies, it comes again.
2. A task message is checked (`envelope`) and opened before kombu sees it; what is refused is never requeued.
3. What is remote control, and not JSON of the right form, is dropped.
4. What cannot be restored when its lease has ended is put aside; it would hold up all that comes behind it.

Chosen by Celery's own setting `broker_transport`. kombu has no public name for what is overridden here: a test holds
the text of each, so that a new version of kombu is looked at.
"""

from __future__ import annotations

import logging
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from math import inf
from queue import Empty
from secrets import token_hex
from time import monotonic, sleep
from typing import Any

import redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from manycore.errors import MessageRefused
from manycore.protocol import bell, channel, keys
from manycore.protocol.broker import RECONNECT_SECONDS, UNACKED, UNACKED_INDEX
from manycore.protocol.channel import REPLIES
from manycore.protocol.form import BLANK, Form
from manycore.protocol.priority import PRIORITY_SUFFIXES
from manycore.protocol.script import Script
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent.deliveries import QoS
from manycore.worker.parent.elsewhere import Elsewhere
from manycore.worker.parent.envelope import Envelope, read_envelope
from manycore.worker.parent.followers import call_off
from manycore.worker.parent.refusals import refuse_raw
from manycore.worker.parent.strategy import check_call, reason_of

logger = logging.getLogger(__name__)
LOST = (redis.ConnectionError, redis.TimeoutError, OSError, Empty)
"""What is no message's fault. kombu counts KeyError as a lost connection, too: one in a message would be requeued."""
TAKE = Script(__package__, "take")
PATIENT_SECONDS = 10.0
"""How long a server may refuse what it is asked before the worker connects anew: its name may be another's by now."""


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


class Channel(channel.Channel):
    """Takes in task messages only after a look at them."""

    QoS = QoS
    Message = TaskMessage
    _refused_since = inf
    _marks = ""
    """What the messages have that are for others, see `Elsewhere`."""

    @cached_property
    def _askings(self) -> dict[tuple[tuple[str, ...], float, int], Form | None]:
        """What was asked before, by its queues, its timeout and how many: the same again but for the tag."""
        return {}

    @cached_property
    def context(self) -> WorkerContext:
        """Not by transport options: those are what `inspect stats` tells, in JSON."""
        return worker_context(self.connection.client.app)

    @cached_property
    def elsewhere(self) -> Elsewhere:
        return Elsewhere(self.context)

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """What was delivered by a connection that is gone may be running still: then it ends by the worker's own."""
        is_gone = client is None and (self.connection is None or self.connection.client is None)
        with super().conn_or_acquire(self.context.redis if is_gone else client) as found:
            yield found

    def refuse(self, queue: str, raw: bytes, error: MessageRefused) -> None:
        refuse_raw(self.context, queue, raw, error)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Wait for a bell and look into the queues, in one round trip: the second command runs once the first is over.

        kombu's own would take a message that nobody has recorded, until its answer arrives.
        """
        self._queues = tuple(self._queue_cycle.consume(len(self.active_queues)))
        self._most, marks = self._credit(), self.elsewhere.marks()
        if marks != self._marks:
            self._marks = marks
            self._askings.clear()
        asking = self._asking(self._queues, timeout or self.brpop_timeout, self._most)
        self._tag = token_hex(16) if asking else ""
        if asking is None:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
        else:
            self._in_poll: Any = self.client.connection
            self._brpop_sent_at: Any = monotonic()
            self._in_poll.send_packed_command([asking.filled(self._tag)])

    def _credit(self) -> int:
        """How many messages are asked for: about as many as there are idle slots. A power of two: each is a form."""
        credit = max(1, self.qos.can_consume_max_estimate() or 1)
        self.context.noticeboard.say_idle(credit)
        return int(1 << credit.bit_length() - 1)

    def _asking(self, queues: tuple[str, ...], timeout: float, most: int) -> Form | None:
        """What is asked of these queues; None if all are for answers to remote control, or there are none at all."""
        if (queues, timeout, most) in self._askings:
            return self._askings[queues, timeout, most]
        form = None
        if not all(queue.endswith(REPLIES) for queue in queues):
            wait = ("BZPOPMIN", *map(keys.bell, queues), timeout)
            take = ("EVALSHA", *TAKE.named(*self._whence(queues, BLANK, most)))
            form = Form(self.client.connection, wait, take)
        self._askings[queues, timeout, most] = form
        return form

    def _whence(self, queues: Sequence[str], tag: str, most: int) -> tuple[list[str], list[Any]]:
        lists = [(f"{queue}{suffix}", dumps(queue)) for suffix in PRIORITY_SUFFIXES for queue in queues]
        names = [*(name for name, _ in lists), *map(keys.bell, queues)]
        args = [tag, keys.BELL_TTL_SECONDS, most, self._marks]
        return [UNACKED, UNACKED_INDEX, *names], [*args, *(queue for _, queue in lists)]

    def _brpop_read(self, **options: Any) -> bool:
        if not self._tag:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        try:
            found = self._found()
            if not found:
                if found is not None:  # there are some, all for others, for one of whom the bell was rung again
                    sleep(RECONNECT_SECONDS)
                raise Empty
            self._take_all(found[::2], found[1::2])
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call]

    def _found(self) -> Any:
        """The list and the message of each that was taken, in turn; nothing if none was."""
        connection, refused = self.client.connection, None
        try:
            try:
                self.client.parse_response(connection, "BZPOPMIN")
            except redis.ResponseError as exc:
                refused = exc
            found = self._taken(connection)
        except self.connection_errors:
            connection.disconnect()
            raise
        except redis.ResponseError as exc:
            refused, found = exc, None
        if refused is None:
            self._refused_since = inf
        elif not found:
            self._be_patient(refused)
        return found

    def _taken(self, connection: Any) -> Any:
        try:
            return self.client.parse_response(connection, "EVALSHA")
        except redis.exceptions.NoScriptError:  # the first time, and after a restart of the server
            connection.send_command("EVAL", *TAKE.whole(*self._whence(self._queues, self._tag, self._most)))
            return self.client.parse_response(connection, "EVAL")

    def _be_patient(self, refused: redis.ResponseError) -> None:
        """Let a moment pass, and stay connected: with a new connection, what runs would be delivered again."""
        now = monotonic()
        if self._refused_since == inf:
            logger.warning("Messages stay where they are, the server refuses to give them: %s", refused)
        self._refused_since = min(self._refused_since, now)
        if now - self._refused_since > PATIENT_SECONDS:
            self._refused_since = inf
            raise redis.ConnectionError(f"the server refuses to give messages: {refused}") from refused
        for queue in self.active_queues:
            with suppress(redis.ResponseError):
                self.context.redis.zcard(keys.bell(queue))  # which takes away what is no bell
        sleep(RECONNECT_SECONDS)

    def _take_all(self, names: Sequence[bytes], messages: Sequence[bytes]) -> None:
        """Take what was recorded. If that is interrupted, nobody renews the leases of the rest: they come again.

        What was asked for a slot that has begun a retry meanwhile, as its time came (`consumer`), is left to others.
        """
        queue = names[0].decode().rsplit(self.sep, 1)[0]  # all of one
        self._queue_cycle.rotate(queue)
        credit = self.qos.can_consume_max_estimate()
        room = len(messages) if credit is None else credit
        self.context.noticeboard.say_idle(room - len(messages))
        tags = [f"{self._tag}-{count}" if count else self._tag for count in range(len(messages))]
        kept = [self._take(queue, raw, tag) for raw, tag in zip(messages[:room], tags, strict=False)]
        beyond = range(len(kept), len(messages))
        for place in reversed([*(place for place, is_ours in enumerate(kept) if not is_ours), *beyond]):
            self.qos.leave(self.client, tags[place], queue, names[place])
        if not all(kept):
            sleep(RECONNECT_SECONDS)  # others first
        if not self.context.noticeboard.any_idle:
            call_off(self.context, tags)

    def _take(self, queue: str, raw: bytes, tag: str) -> bool:
        """Deliver a message, or refuse it; False if it is for others."""
        try:
            envelope = read_envelope(raw, queue, max_message_bytes=self.context.settings.max_message_bytes)
            if self.elsewhere(queue, envelope["headers"]["task"]):
                return False
            # A name for each delivery: who lost its lease must not end that of whom the message came to next.
            envelope["properties"]["delivery_tag"] = tag
            self.connection._deliver(envelope, queue)
        except MessageRefused as exc:
            self.refuse(queue, raw, exc)
            self.qos.forget(tag)
        return True

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
        pipe.eval(*bell.rung(routing_key))


class Transport(channel.Transport):
    """For `redis://` and `rediss://`."""

    Channel = Channel


class SocketTransport(Transport, channel.SocketTransport):
    """For a unix socket."""
