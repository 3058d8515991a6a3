"""Runs items of a batch again, as a new named batch: its record lets any process attach and gather.

The old batch keeps the outcome that each of its items had, and strikes start anew, since they are counted by batch.
Whoever sends it may be gone at once: workers look after it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis

from manycore.errors import MessageRefused, NotRetryable
from manycore.protocol import keys, packing
from manycore.protocol.custody import Custody
from manycore.protocol.entries import Answered, Fields, Rejected, read_entry
from manycore.protocol.ledger import Ledger
from manycore.protocol.message import Chunk, new_chunk_id
from manycore.protocol.packing import Opened
from manycore.protocol.parcel import Parcel, Program
from manycore.protocol.parcels import Parcels
from manycore.protocol.publisher import Publisher
from manycore.protocol.ranges import RangeSet
from manycore.protocol.record import ENTRIES_PER_READ, Identity, Record, covers
from manycore.protocol.references import References
from manycore.protocol.signing import Keyring, content_digest

_RETRY_SUFFIX = re.compile(r":retry-[0-9a-f]{8}$")
MAX_STEM = 100
"""Of the old batch's name, so that the new one is no longer than a batch id may be."""


@dataclass(frozen=True, slots=True)
class Retried:
    """The new batch; its item `i` is item `indices[i]` of the batch `of`."""

    batch: str
    of: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Items of one chunk that are to run again, with their own payload; `indices` are those that they had."""

    chunk: Chunk
    program: Program
    body: bytes
    indices: tuple[int, ...]


class Resender:
    """Raises redis-py's errors; then items that were sent may run, for nobody."""

    def __init__(self, client: Redis, publisher: Publisher, keyring: Keyring, ttl_seconds: int) -> None:
        self._redis: Any = client
        self._keyring = keyring
        self._ttl = ttl_seconds
        self._parcels = Parcels(client, publisher, References(client, ttl_seconds), ttl_seconds)

    def send(self, of: str, names: Sequence[str], total: int, parts: Iterator[Part], new: str | None = None) -> Retried:
        """Send these parts of the batch `of`, which have `total` items in all, as the batch `new`."""
        record = Record(self._redis, self._keyring, new or new_batch_id(of), self._ttl)
        record.begin(Identity(", ".join(dict.fromkeys(names))), accept_changes=False)
        indices: list[int] = []
        for part in parts:
            parcel = _parcel(record, len(indices), total, part)
            self._parcels.send([parcel], record=record)
            indices += part.indices
        record.complete(len(indices))
        record.hand_over()
        return Retried(record.batch, of, tuple(indices))

    def rerun_failed(self, batch: str, new: str | None = None) -> Retried:
        """Run the items of a named batch again that have failed so far, as the batch `new`.

        Raises `UnknownBatch`, `BatchIncomplete`, or `NotRetryable` for a batch without failed items, and for one of
        whose arguments or function Redis has lost something.
        """
        record = Record(self._redis, self._keyring, batch, self._ttl)
        name, parcels = record.attach()
        failed = self._failed(record, parcels)
        if not len(failed):
            raise NotRetryable(batch, "none of its items has failed")
        spans = [covers(parcel.chunk) for parcel in parcels]
        if not any(failed.common(span.start, span.stop) for span in spans):
            raise NotRetryable(batch, "what has failed was never sent")
        lost = [digest for digest in _references(parcels) if not self._redis.exists(keys.reference(digest))]
        if lost:
            raise NotRetryable(batch, "its function, or the modules that it needs, are no longer in Redis")
        return self.send(batch, [name], len(failed), self._parts(batch, parcels, failed), new)

    def _failed(self, record: Record, parcels: Sequence[Parcel]) -> RangeSet:
        """The items whose first outcome is an error."""
        custody = Custody.of(parcels, record.total or 0)
        for fields in self._entries(record.batch):
            with suppress(MessageRefused):  # a client that gathers says so
                found = read_entry(self._redis, self._keyring, record.batch, fields)
                if isinstance(found, Answered) and not record.owns(found):
                    continue
                custody.answer(*_errors(found, custody.ledger))
        return custody.ledger.failures

    def _entries(self, batch: str) -> Iterator[Fields]:
        last = "-"
        while entries := self._redis.xrange(keys.outcomes(batch), min=last, count=ENTRIES_PER_READ):
            yield from (fields for _, fields in entries)
            last = f"({entries[-1][0].decode()}"

    def _parts(self, batch: str, parcels: Sequence[Parcel], failed: RangeSet) -> Iterator[Part]:
        done = 0
        for parcel in parcels:
            span = covers(parcel.chunk)
            wanted = [i for part in failed.common(max(span.start, done), span.stop) for i in part]
            done = max(done, span.stop)  # a chunk that was sent again repeats items of another
            if wanted:
                held = packing.opened(self._payload(batch, parcel.chunk))
                values = [held.values[index - parcel.chunk.first] for index in wanted]
                body = packing.repacked(Opened(values, held.separate), 0, len(values))
                yield Part(parcel.chunk, parcel.program, body, tuple(wanted))

    def _payload(self, batch: str, chunk: Chunk) -> bytes:
        payload: bytes | None = self._redis.get(keys.payload(batch, chunk.payload_token or ""))
        if payload is None or content_digest(payload) != chunk.payload_digest:
            raise NotRetryable(batch, "some of its arguments are no longer in Redis")
        return payload


def new_batch_id(of: str) -> str:
    """A free batch id that tells where its items come from; a retry of a retry grows no longer."""
    return f"{_RETRY_SUFFIX.sub('', of)[:MAX_STEM]}:retry-{secrets.token_hex(4)}"


def _errors(found: Answered | Rejected, ledger: Ledger) -> tuple[Sequence[int], Collection[int]]:
    """The items that an entry answers, and at which offsets with an error: all of a chunk that was refused."""
    if isinstance(found, Answered):
        return found.block.indices, found.block.errors
    sent = ledger.find(found.chunk)
    span = range(sent.start, sent.stop) if sent is not None else range(0)
    return span, range(len(span))


def _references(parcels: Sequence[Parcel]) -> set[str]:
    return {digest for parcel in parcels for digest in (parcel.chunk.function, parcel.chunk.code) if digest}


def _parcel(record: Record, first: int, total: int, part: Part) -> Parcel:
    chunk = replace(
        part.chunk,
        id=new_chunk_id(record.batch),
        batch=record.batch,
        mark=record.mark,
        first=first,
        start=0,
        stop=len(part.indices),
        payload_token=secrets.token_hex(8),
        payload_digest=content_digest(part.body),
        total=total,
        attempt=1,
        ephemeral=False,
        suspect="",
    )
    return Parcel(chunk, part.program, part.body)
