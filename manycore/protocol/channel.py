"""How Celery reaches our server: kombu's Redis transport, with one Redis client for the life of a channel.

kombu makes a new client for each command that it sends: 0.1 ms, three times a message. A worker's gate builds on this
(`worker.parent.transport`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from kombu.transport import redis as kombu_redis

from manycore.protocol import bell
from manycore.protocol.address import Address
from manycore.protocol.broker import UNNAMED

REPLIES = ".pidbox"
"""How the queues end in which a client finds the answers to remote control; no worker consumes one."""


class Commands:
    """Adds commands to a pipeline as kombu adds those of a batch of messages."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def add(self, name: str, *args: Any) -> None:
        getattr(self._pipe, name)(*args)


class ChannelGone(redis.ConnectionError):
    """The channel was closed with its connection. kombu would fail with an AttributeError, which it tries no more."""


class Channel(kombu_redis.Channel):
    """Of one connection."""

    _kept: Any = None
    heard_by: int | None = None
    """How many were there to hear what was last said to all (Celery's events); None before that."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        return super()._connparams(asynchronous) | UNNAMED  # type: ignore[no-untyped-call]

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """This client, or the channel's own. Its pool is another one after a fork, and after a lost connection."""
        if client is None:
            if self.connection is None or self.connection.client is None:  # closed; with its transport, or by another
                raise ChannelGone("its connection was closed")
            if self._kept is None or self._kept.connection_pool is not self.pool:
                self._kept = self.Client(connection_pool=self.pool)
            client = self._kept
        yield client

    def _put_fanout(
        self, exchange: str, message: Any, routing_key: str, *, _publish_batch: Any = None, **options: Any
    ) -> None:
        """kombu's own, which does not look at what the server answers."""
        if _publish_batch is None:
            self.heard_by = max(self._at_once(self._put_fanout, exchange, message, routing_key, **options))
            return
        super()._put_fanout(exchange, message, routing_key, _publish_batch=_publish_batch, **options)  # type: ignore[no-untyped-call]

    def _put(self, queue: str, message: Any, *, _publish_batch: Any = None, **options: Any) -> None:
        """kombu's own, and the bell, in one round trip."""
        if _publish_batch is None:
            self._at_once(self._put, queue, message, **options)
            return
        super()._put(queue, message, _publish_batch=_publish_batch, **options)  # type: ignore[no-untyped-call]
        if not queue.endswith(REPLIES):
            _publish_batch.add("eval", *bell.rung(queue))

    def _at_once(self, put: Callable[..., None], *args: Any, **options: Any) -> list[Any]:
        """What the server answers to a batch of this alone."""
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            put(*args, _publish_batch=Commands(pipe), **options)
            found: list[Any] = pipe.execute()
            return found


class Transport(kombu_redis.Transport):
    """For `redis://` and `rediss://`."""

    Channel = Channel


class SocketTransport(Transport):
    """For a unix socket. kombu would take the transport from `redis+socket://`; so it is kept from parsing."""

    can_parse_url = True


def transport_settings(address: Address, module: str = __name__) -> dict[str, Any]:
    """The Celery settings that choose the transport of `module` for the server at `address`."""
    if address.path is None:
        return {"broker_url": address.broker_url, "broker_transport": f"{module}:{Transport.__name__}"}
    return {"broker_url": address.socket_url, "broker_transport": f"{module}:{SocketTransport.__name__}"}
