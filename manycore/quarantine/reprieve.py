"""Gives poison items another chance: as a new named batch, whose record lets any process attach and gather.

The old batch keeps the outcome that each of its items had. Strikes start anew, since they are counted by batch. Each
item is a chunk of its own, so one that kills its process again takes nobody along.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from redis import Redis

from manycore.protocol.codec import Keyring, content_digest
from manycore.protocol.message import new_chunk_id
from manycore.protocol.parcel import Parcel, Program
from manycore.protocol.parcels import Parcels
from manycore.protocol.publisher import Publisher
from manycore.protocol.record import Identity, Record
from manycore.quarantine.poison import Poison

_RETRY_SUFFIX = re.compile(r":retry-[0-9a-f]{8}$")
MAX_STEM = 100
"""Of the old batch's name, so that the new one is no longer than a batch id may be."""


@dataclass(frozen=True, slots=True)
class Retried:
    """The new batch; its item `i` is item `indices[i]` of the batch `of`."""

    batch: str
    of: str
    indices: tuple[int, ...]


def retry(client: Redis, publisher: Publisher, keyring: Keyring, ttl: int, items: Sequence[Poison]) -> Retried:
    """Send items of one batch as a new batch. Raises redis-py's errors; then they may run, for nobody."""
    of = items[0].chunk.batch
    record = Record(client, keyring, new_batch_id(of), ttl)
    names = list(dict.fromkeys(item.name for item in items))
    record.begin(Identity(", ".join(names)), accept_changes=False)
    parcels = [_parcel(record.batch, place, len(items), item) for place, item in enumerate(items)]
    Parcels(client, publisher, ttl).send(parcels, record=record)
    record.complete(len(items))
    record.hand_over()  # whoever sent it may be gone at once: from here on the workers see that nothing gets lost
    return Retried(record.batch, of, tuple(item.chunk.first for item in items))


def by_batch(items: Iterable[Poison]) -> list[list[Poison]]:
    """The items of each batch, in the order of its input."""
    ordered = sorted(items, key=lambda item: (item.chunk.batch, item.chunk.first))
    return [list(group) for _, group in groupby(ordered, key=lambda item: item.chunk.batch)]


def new_batch_id(of: str) -> str:
    """A free batch id that tells where its items come from; a retry of a retry grows no longer."""
    return f"{_RETRY_SUFFIX.sub('', of)[:MAX_STEM]}:retry-{secrets.token_hex(4)}"


def _parcel(batch: str, place: int, total: int, item: Poison) -> Parcel:
    body = item.payload or b""
    chunk = replace(
        item.chunk,
        id=new_chunk_id(batch),
        batch=batch,
        first=place,
        payload_token=secrets.token_hex(8),
        payload_digest=content_digest(body),
        total=total,
        attempt=1,
        ephemeral=False,
        suspect=False,
    )
    return Parcel(chunk, Program(chunk.task, item.queue, item.shadow, chunk.function, item.function), body)
