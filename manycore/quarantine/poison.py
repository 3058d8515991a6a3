"""Poison: items that killed their workers until they got the verdict `WorkerCrashed`, with what runs them again.

Each is kept under a key of its own, sealed, so that what a client shows and sends again is what a worker wrote. An
index, one hash, knows when each came and how large it is: the oldest leave when there are too many, or too many bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from redis import Redis

from manycore.errors import MessageRefused
from manycore.protocol import keys, signing
from manycore.protocol.junk import UNREADABLE, moment, whole
from manycore.protocol.message import Chunk, open_chunk, seal_chunk
from manycore.protocol.signing import Keyring

MAX_ITEMS = 1000
MAX_BYTES = 16 * 1024 * 1024
"""Of all that is kept. A server of the stack's size (512 MiB) does not notice it."""
MAX_PART_BYTES = 64 * 1024
"""Of one item's arguments, and of its function: what is larger is listed and not kept."""
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Poison:
    """One item: when it got its verdict (epoch), what it is, and how often and how it killed its process.

    `chunk` is the item alone, position 0 of `payload`, which is None if it cannot be kept: it is too large, or
    names a large object. `function` is
    the sealed function of `chunk.function`; None for a registered task, and for one that is too large: that one is
    left under its own key.
    """

    when: float
    chunk: Chunk
    queue: str
    shadow: str | None
    cause: str
    executions: int
    trace: str
    payload_bytes: int
    payload: bytes | None
    function: bytes | None

    kind = "poison"

    @property
    def id(self) -> str:
        """The same for the same item: an item has one entry, however often its chunk comes again. In another life of
        its batch, that has the same name, it is another item."""
        return item_id(self.chunk.batch, self.chunk.first, self.chunk.mark.partition(".")[0])

    @property
    def name(self) -> str:
        """What the item ran, as Flower and the logs call it."""
        return self.shadow or self.chunk.task

    @property
    def reason(self) -> str:
        return f"item {self.chunk.first} of {self.chunk.batch} ({self.name}): {self.cause}, {self.executions} times"

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be retried; None if it can."""
        if self.payload is not None:
            return None
        if self.payload_bytes <= MAX_PART_BYTES:
            return "its arguments name a large object, which was freed with its batch"
        return f"its arguments have {self.payload_bytes:,} bytes, up to {MAX_PART_BYTES:,} are kept"

    def sealed(self, keyring: Keyring) -> bytes:
        texts = self.queue[:MAX_TEXT], self.shadow and self.shadow[:MAX_TEXT], self.cause[:MAX_TEXT]
        head = (self.when, *texts, self.executions, self.trace, self.payload_bytes, self.payload is None, self.function)
        return keyring.seal(signing.POISON, head, seal_chunk(keyring, self.chunk, self.payload or b""))

    @classmethod
    def opened(cls, keyring: Keyring, message: bytes) -> Poison:
        """Verify a kept item. Raises `MessageRefused`."""
        head, body = keyring.open(signing.POISON, message)
        when, queue, shadow, cause, executions, trace, size, too_large, function = head
        chunk, payload = open_chunk(keyring, bytes(body))
        kept = None if too_large else bytes(payload)
        return cls(when, chunk, queue, shadow, cause, executions, trace, size, kept, function)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A kept item that cannot be verified here: another key signed it, or somebody changed it."""

    id: str
    when: float
    queue: str
    obstacle: str

    kind = "poison"

    @property
    def reason(self) -> str:
        return f"cannot be read: {self.obstacle}"


class Held(NamedTuple):
    """What the index knows of an item."""

    when: float
    size: int
    queue: str
    cause: str = ""

    @classmethod
    def parse(cls, text: bytes) -> Held:
        """What nobody of ours wrote is of no age: it is the first to leave."""
        try:
            when, size, queue, *cause = json.loads(text)
            return cls(moment(when), whole(size), str(queue), *map(str, cause[:1]))
        except UNREADABLE:
            return cls(0.0, 0, "")


class PoisonItems:
    """Where they are kept. Raises redis-py's errors when the server is away or full."""

    def __init__(self, redis: Redis, keyring: Keyring) -> None:
        self._redis: Any = redis
        self._keyring = keyring

    def add(self, items: Iterable[Poison]) -> None:
        """Keep these, each unless it is there already."""
        pipe = self._redis.pipeline(transaction=False)
        for item in items:
            sealed = item.sealed(self._keyring)
            pipe.set(keys.quarantined(item.id), sealed, nx=True, ex=keys.QUARANTINE_TTL_SECONDS)
            entry = item.when, len(sealed), item.queue[:MAX_TEXT], item.cause[:MAX_TEXT]
            pipe.hsetnx(keys.QUARANTINE_ITEMS, item.id, json.dumps(entry))
        pipe.expire(keys.QUARANTINE_ITEMS, keys.QUARANTINE_TTL_SECONDS)
        pipe.hgetall(keys.QUARANTINE_ITEMS)
        pipe.time()
        *_, index, (now, _) = pipe.execute()
        self.remove(surplus(_parsed(index), now))

    def held(self) -> dict[str, Held]:
        """What is kept: id -> when, bytes and queue; the newest first."""
        return held_at(self._redis)

    def find(self, ids: Sequence[str]) -> list[Poison | Unreadable]:
        """The items of these ids; those that are not there are left out."""
        if not ids:
            return []
        known = _parsed(dict(zip(map(str.encode, ids), self._redis.hmget(keys.QUARANTINE_ITEMS, ids), strict=True)))
        found = zip(ids, self._redis.mget(map(keys.quarantined, ids)), strict=True)
        return [self._opened(name, sealed, known[name]) for name, sealed in found if sealed is not None]

    def remove(self, ids: Sequence[str]) -> None:
        if ids:
            pipe = self._redis.pipeline(transaction=False)
            pipe.unlink(*map(keys.quarantined, ids))
            pipe.hdel(keys.QUARANTINE_ITEMS, *ids)
            pipe.execute()

    def _opened(self, name: str, sealed: bytes, held: Held) -> Poison | Unreadable:
        try:
            item = Poison.opened(self._keyring, sealed)
            if item.id != name:
                raise MessageRefused(f"it is the item {item.id}")
        except MessageRefused as exc:
            return Unreadable(name, held.when, held.queue, str(exc.args[0]))
        return item


def held_at(client: Any) -> dict[str, Held]:
    """The items that a server keeps, for who has no signing key, too; the newest first. Raises redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    pipe.hgetall(keys.QUARANTINE_ITEMS)
    pipe.time()
    index, (now, _) = pipe.execute()
    held = _parsed(index)
    gone = set(surplus(held, now))
    newest = sorted(held.items(), key=_when, reverse=True)
    return {name: entry for name, entry in newest if name not in gone}


def item_id(batch: str, index: int, life: str = "") -> str:
    return blake2b(f"{batch} {index} {life}".encode(errors="surrogatepass"), digest_size=6).hexdigest()


def surplus(held: Mapping[str, Held], now: float) -> list[str]:
    """The items that must leave, so that the newest stay within their number, their bytes and their time."""
    gone, size = [], 0
    for place, (name, entry) in enumerate(sorted(held.items(), key=_when, reverse=True)):
        size += entry.size
        if place >= MAX_ITEMS or size > MAX_BYTES or now - entry.when > keys.QUARANTINE_TTL_SECONDS:
            gone.append(name)
    return gone


def _when(item: tuple[str, Held]) -> float:
    return item[1].when


def _parsed(index: Mapping[bytes, bytes | None]) -> dict[str, Held]:
    return {name.decode(errors="replace"): Held.parse(text or b"") for name, text in index.items()}
