"""A large object on its way through Redis to hosts that have no part in its client's shared memory: in pieces.

One hash holds an object: its pieces, none above `PIECE_BYTES`, and a sealed list of their digests, written last. So the
size of a value is no limit, no read takes long, and each piece is checked before it is used.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from manycore.errors import MessageRefused, ObjectGone
from manycore.protocol import keys, signing
from manycore.protocol.flat import Flat
from manycore.protocol.signing import Keyring, content_digest

PIECE_BYTES = 8 * 1024 * 1024
LIST = b"list"


def store(client: redis.Redis, keyring: Keyring, name: str, flat: Flat, ttl_seconds: int) -> None:
    """Write an object. Raises redis-py's errors; what was written until then goes with its TTL."""
    key = keys.object_pieces(name)
    digests: list[bytes] = []
    for piece in _cut(flat):
        pipe = client.pipeline(transaction=False)
        pipe.hset(key, str(len(digests)), piece)
        pipe.expire(key, ttl_seconds)
        pipe.execute()
        digests.append(content_digest(piece))
    client.hset(key, LIST.decode(), keyring.seal(signing.OBJECT, (name, flat.size, digests)))


def are_there(client: redis.Redis, name: str) -> bool:
    """Whether an object was written whole, and not lost since. Raises redis-py's errors."""
    return bool(client.hexists(keys.object_pieces(name), LIST.decode()))


def fetch(client: redis.Redis, keyring: Keyring, name: str, size: int) -> Iterator[bytes]:
    """The pieces of an object of `size` bytes, each checked.

    Raises `ObjectGone`, `MessageRefused`, or redis-py's errors.
    """
    key = keys.object_pieces(name)
    sealed: Any = client.hget(key, LIST.decode())
    if sealed is None:
        raise ObjectGone(name)
    whose, claimed, digests = keyring.open(signing.OBJECT, sealed).header
    if (whose, claimed) != (name, size):
        raise MessageRefused(f"its object is {whose!r:.60} of {claimed!r:.20} bytes, it names {name} of {size:,}")
    with ThreadPoolExecutor(1, "manycore-pieces") as ahead:  # the next one travels while this one is checked and used
        coming = ahead.submit(client.hget, key, "0")
        for place, digest in enumerate(digests):
            piece: Any = coming.result()
            if piece is None:
                raise ObjectGone(name)
            if place + 1 < len(digests):
                coming = ahead.submit(client.hget, key, str(place + 1))
            if not hmac.compare_digest(content_digest(piece), digest):
                raise MessageRefused(f"a piece of its object {name} is not the one that was signed")
            yield piece


def _cut(flat: Flat) -> Iterator[bytes]:
    """The bytes of a value as pieces, the last one shorter."""
    held = bytearray()
    for part in flat.pieces():
        view = memoryview(part).cast("B")
        while view:
            room = PIECE_BYTES - len(held)
            held += view[:room]
            view = view[room:]
            if len(held) == PIECE_BYTES:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
