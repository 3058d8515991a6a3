"""Sends parcels: stores what their messages only name, then publishes the messages.

A worker must find what a message names, so that comes first (`references`: functions and archives).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import redis

from manycore.protocol import keys
from manycore.protocol.parcel import Parcel
from manycore.protocol.publisher import Publisher
from manycore.protocol.record import Record
from manycore.protocol.references import References


class Parcels:
    """Raises redis-py's errors when the server is away or full; what arrived is then unknown."""

    def __init__(self, client: redis.Redis, publisher: Publisher, references: References, ttl_seconds: int) -> None:
        self._redis = client
        self._publisher = publisher
        self._ttl = ttl_seconds
        self._references = references

    def send(
        self,
        whole: Sequence[Parcel],
        parts: Sequence[Parcel] | None = None,
        record: Record | None = None,
        *,
        later: bool = False,
    ) -> None:
        """Send `parts` of these parcels, which may be none, by default all of them; `later` lets others go first.

        `record` notes them for who goes on with the batch.
        """
        if (
            record is not None
            or any(parcel.chunk.payload_token for parcel in whole)
            or not self._references.held(whole)
        ):
            self._store(whole, record)
        self._publish(whole if parts is None else parts, later=later)

    def _store(self, whole: Sequence[Parcel], record: Record | None) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for parcel in whole:
            if record is not None:
                record.enter(pipe, parcel)
            if parcel.chunk.payload_token is not None and parcel.body:
                pipe.set(keys.payload(parcel.chunk.batch, parcel.chunk.payload_token), parcel.body, ex=self._ttl)
        wanted = self._references.queue(pipe, whole)
        self._references.settle(wanted, pipe.execute() if len(pipe) else [])

    def _publish(self, parcels: Sequence[Parcel], *, later: bool) -> None:
        for (queue, shadow), group in groupby(parcels, key=lambda each: (each.program.queue, each.program.shadow)):
            chunks = [(each.chunk, each.inline) for each in group]
            self._publisher.publish(chunks, queue=queue, shadow=shadow, later=later)
