"""Finds items that got lost: sent, not answered, and in no message that is queued or being worked on.

That happens when the server loses its last second. An audit reads the queues and the deliveries under way; so it is
made only for batches that have been silent, and only what is missing twice in a row counts: a message can be on its way
from one place to the other.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from typing import Any

import redis

from manycore.errors import MessageRefused
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.message import Chunk, open_chunk
from manycore.protocol.priority import PRIORITY_SUFFIXES
from manycore.protocol.ranges import RangeSet
from manycore.protocol.resume import Resume
from manycore.protocol.signing import Keyring


class Auditor:
    """Says which items of which batches are in some message now."""

    def __init__(self, client: redis.Redis, keyring: Keyring) -> None:
        self._redis = client
        self._keyring = keyring

    def in_flight(self, batches: Iterable[str], queues: Iterable[str]) -> dict[str, RangeSet]:
        """The item indices of each batch that wait in one of the queues, or are being worked on."""
        covered = {batch: RangeSet() for batch in batches}
        chunks = [chunk for chunk in self._chunks(queues) if chunk.batch in covered]
        for chunk in self._left_of(chunks):
            span = chunk.indices_of(chunk.start, chunk.stop)
            covered[chunk.batch].add(span.start, span.stop)
        return covered

    def _chunks(self, queues: Iterable[str]) -> list[Chunk]:
        # In the order in which messages move, so that none passes us by between the two looks.
        pipe = self._redis.pipeline(transaction=False)
        for queue in queues:
            for suffix in PRIORITY_SUFFIXES:
                pipe.lrange(queue + suffix, 0, -1)
        pipe.hvals(UNACKED)
        *queued, unacked = pipe.execute()
        raw = [message for queue in queued for message in queue]
        found = [self._open(_parsed(message)) for message in raw]
        found += [self._open(_first(_parsed(delivery))) for delivery in unacked]
        return [chunk for chunk in found if chunk is not None]

    def _open(self, message: Any) -> Chunk | None:
        try:
            return open_chunk(self._keyring, b64decode(message["body"]))[0]
        except (MessageRefused, *UNREADABLE):
            return None  # somebody else's, or nobody's: it covers no item of ours

    def _left_of(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks with the positions that they still have to run, without those they gave away, and without those
        of an earlier run, which workers drop (`Record`)."""
        pipe = self._redis.pipeline(transaction=False)
        for chunk in chunks:
            pipe.hget(keys.resume(chunk.batch), chunk.id)
            pipe.hget(keys.batch(chunk.batch), "mark")
        found = pipe.execute()
        known = zip(chunks, map(Resume.parse, found[::2]), found[1::2], strict=True)
        return [resume.of(chunk) if resume else chunk for chunk, resume, mark in known if not chunk.is_outdated(mark)]


def _parsed(message: bytes) -> Any:
    """A message as kombu wrote it; None for what nobody of ours wrote."""
    try:
        return json.loads(message)
    except UNREADABLE:
        return None


def _first(delivery: Any) -> Any:
    """The message in a delivery, which kombu records as `[message, exchange, routing key]`."""
    return delivery[0] if isinstance(delivery, list) and delivery else None
