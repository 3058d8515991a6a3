"""How a chunk becomes one ordinary Celery message, and several leave in one round trip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from time import time
from typing import Any

from celery import Celery
from kombu.exceptions import BatchPublishError
from kombu.pools import ProducerPool

from manycore.protocol.message import Chunk, seal_chunk
from manycore.protocol.signing import CONTENT_TYPE, Keyring

MAX_PRODUCERS = 10
SENT = "sent"
"""The header that says when a message was sent, by the clock of its sender (epoch seconds): Flower shows how old the
oldest of a queue is, and nothing else comes of it."""


class Publisher:
    """Publishes chunks as Celery messages, on connections of its own: one for each thread that publishes at a time."""

    def __init__(self, app: Celery, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring
        self._opened: tuple[int, Any, ProducerPool] | None = None

    def close(self) -> None:
        """Close the connections that were used. kombu's own pools, one for all applications, would keep them."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].force_close_all()
        self._app.close()

    def _producers(self) -> ProducerPool:
        """The producers of this process: a connection that was opened before a fork belongs to the parent."""
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            connections = self._app.connection_for_write().Pool(limit=MAX_PRODUCERS)
            # No lock, which a fork could leave locked: of two threads that come first, one drops its empty pool.
            self._opened = opened = os.getpid(), connections, ProducerPool(connections, limit=MAX_PRODUCERS)
        return opened[2]

    def publish(
        self,
        chunks: Sequence[tuple[Chunk, bytes | memoryview]],
        *,
        queue: str,
        shadow: str | None = None,
        not_before: Sequence[float] = (),
    ) -> None:
        """Send chunks with their inline payloads in one round trip; none runs before its time, if it has one (`clock`).

        Raises redis-py's errors when it fails.

        Which of the chunks have arrived is then unknown; sending them again is safe, outcomes are deduplicated.
        """
        try:
            self._publish(chunks, queue, shadow, not_before)
        except BatchPublishError as exc:
            raise exc.__cause__ or exc from None  # why is what decides whether it is tried again

    def _publish(
        self,
        chunks: Sequence[tuple[Chunk, bytes | memoryview]],
        queue: str,
        shadow: str | None,
        not_before: Sequence[float],
    ) -> None:
        with self._producers().acquire(block=True) as producer, producer.batch():
            for (chunk, payload), when in zip(chunks, not_before or [0.0] * len(chunks), strict=True):
                message = self._app.amqp.as_task_v2(
                    chunk.id,
                    chunk.task,
                    argsrepr=chunk.describe(),
                    kwargsrepr="",
                    shadow=shadow,
                    eta=datetime.fromtimestamp(when, UTC) if when else None,
                    retries=chunk.attempt - 1,
                    ignore_result=True,
                )
                producer.publish(
                    seal_chunk(self._keyring, chunk, payload),
                    exchange="",
                    routing_key=queue,
                    content_type=CONTENT_TYPE,
                    content_encoding="binary",
                    headers=message.headers | {SENT: round(time(), 3)},
                    **message.properties,
                )
