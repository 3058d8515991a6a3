"""Sends parcels: stores what their messages only name, then publishes the messages.

A worker must find what a message names, so that comes first. A function or an archive that is stored already is not
stored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from time import monotonic

import redis

from manycore.protocol import keys
from manycore.protocol.parcel import Parcel
from manycore.protocol.publisher import Publisher
from manycore.protocol.record import Record


class Parcels:
    """Raises redis-py's errors when the server is away or full; what arrived is then unknown."""

    def __init__(self, client: redis.Redis, publisher: Publisher, ttl_seconds: int) -> None:
        self._redis = client
        self._publisher = publisher
        self._ttl = ttl_seconds
        self._stored: dict[str, float] = {}

    def send(self, whole: Sequence[Parcel], parts: Sequence[Parcel] = (), record: Record | None = None) -> None:
        """Send `parts` of these parcels, by default all of them; `record` notes them for who goes on with the batch."""
        pipe = self._redis.pipeline(transaction=False)
        for parcel in whole:
            if record is not None:
                record.enter(pipe, parcel)
            if parcel.chunk.payload_token is not None and parcel.body:
                pipe.set(keys.payload(parcel.chunk.batch, parcel.chunk.payload_token), parcel.body, ex=self._ttl)
        missing = self._missing(whole)
        for digest, sealed in missing.items():
            pipe.set(keys.reference(digest), sealed, ex=self._ttl)
        if len(pipe):
            pipe.execute()
        self._stored |= dict.fromkeys(missing, monotonic() + self._ttl / 2)  # not before the server took them
        self._publish(parts or whole)

    def forget(self, references: Iterable[str] | None = None) -> None:
        """Store these functions and archives again with the next parcel; None: all."""
        for digest in list(self._stored) if references is None else references:
            self._stored.pop(digest, None)

    def _missing(self, parcels: Sequence[Parcel]) -> dict[str, bytes]:
        now = monotonic()
        named = {digest: sealed for parcel in parcels for digest, sealed in parcel.program.references.items()}
        return {digest: sealed for digest, sealed in named.items() if now > self._stored.get(digest, 0.0)}

    def _publish(self, parcels: Sequence[Parcel]) -> None:
        for (queue, shadow), group in groupby(parcels, key=lambda each: (each.program.queue, each.program.shadow)):
            self._publisher.publish([(each.chunk, each.inline) for each in group], queue=queue, shadow=shadow)
