"""Publishes chunks: each is one ordinary Celery message under its task's own name."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis

from manycore.protocol import bell, envelope
from manycore.protocol.handing import can_be_handed, hand
from manycore.protocol.message import Chunk, seal_chunk
from manycore.protocol.priority import list_of
from manycore.protocol.signing import Keyring
from manycore.protocol.wire import Wire


class Publisher:
    """For any number of threads, as its client is; over a `wire`, if it has one of its own."""

    def __init__(self, client: Redis, keyring: Keyring, wire: Wire | None = None, *, ttl_seconds: int = 0) -> None:
        """What is told of a call that was handed to a slot lives `ttl_seconds`, if it ever is."""
        self._redis = client
        self._keyring = keyring
        self._wire = wire
        self._ttl = ttl_seconds

    def message(
        self, chunk: Chunk, payload: bytes | memoryview, *, queue: str, shadow: str | None, not_before: float = 0.0
    ) -> str:
        """A chunk with its inline payload, as it lies in the list of its queue."""
        sealed = seal_chunk(self._keyring, chunk, payload)
        return envelope.around(chunk, sealed, queue=queue, shadow=shadow, not_before=not_before)

    def publish(
        self,
        chunks: Sequence[tuple[Chunk, bytes | memoryview]],
        *,
        queue: str,
        shadow: str | None = None,
        not_before: Sequence[float] = (),
        later: bool = False,
    ) -> None:
        """Send chunks of one batch with their inline payloads, all or none; none runs before its time, if it has one
        (`clock`). `later` lets those of others go first.

        Raises redis-py's errors when it fails. Whether they have arrived is then unknown; sending them again is safe,
        outcomes are deduplicated.
        """
        times = not_before or [0.0] * len(chunks)
        messages = []
        for (chunk, payload), when in zip(chunks, times, strict=True):
            messages.append(self.message(chunk, payload, queue=queue, shadow=shadow, not_before=when))
        if not chunks:
            return
        place = list_of(queue, chunks[0][0].options.priority, later=later)
        if self._wire is not None and len(chunks) == 1 and not (later or not_before) and can_be_handed(chunks[0][0]):
            hand(self._wire, chunks[0][0], messages[0], queue, self._ttl)
        elif self._wire is not None:
            self._wire.execute([("LPUSH", place, *messages), ("EVAL", *bell.rung(queue))])
        else:
            pipe = self._redis.pipeline(transaction=False)
            pipe.lpush(place, *messages)
            pipe.eval(*bell.rung(queue))
            pipe.execute()
