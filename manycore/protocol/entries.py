"""What an entry of an outcome stream is: a signed block of outcomes, or an unsigned word that a chunk was refused.

Anybody who can reach the server can add an entry. Whatever one holds, reading it gives one of the two or raises
`MessageRefused`, and nothing of it is unpickled before its signature was checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import redis

from manycore.errors import ManycoreError, MessageRefused, SigningKeyMismatch
from manycore.protocol import keys
from manycore.protocol.message import Block, open_block
from manycore.protocol.signing import Keyring

Fields = dict[bytes, bytes]
NOT_BEGUN = b"n"
"""The field of an entry whose items did not run, since their chunk could not: a new run of their batch runs them."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcomes, with their packed values; `beside` is the key that held them, if that was not the entry."""

    block: Block
    body: memoryview
    beside: str | None
    begun: bool = True


@dataclass(frozen=True, slots=True)
class Rejected:
    """A chunk that did not run: believed in no more than that."""

    chunk: str
    error: ManycoreError


def read_entry(client: redis.Redis, keyring: Keyring, batch: str, fields: Fields) -> Answered | Rejected:
    """What an entry of the stream of `batch` says. Raises `MessageRefused`, or redis-py's errors."""
    try:
        if b"r" in fields:
            return _rejected(keyring, fields[b"r"])
        return _answered(client, keyring, batch, fields)
    except (MessageRefused, redis.RedisError):
        raise
    except (Exception, RecursionError) as exc:  # a boundary: an entry can be anything
        raise MessageRefused(f"it cannot be read: {type(exc).__name__}") from exc


def _answered(client: redis.Redis, keyring: Keyring, batch: str, fields: Fields) -> Answered:
    beside = keys.values(batch, fields[b"k"].decode()) if b"k" in fields else None
    sealed: Any = client.get(beside) if beside is not None else fields.get(b"o")
    if sealed is None:
        raise MessageRefused("its values are no longer in Redis")
    block, body = open_block(keyring, sealed, batch)
    return Answered(block, body, beside, NOT_BEGUN not in fields)


def _rejected(keyring: Keyring, record: bytes) -> Rejected:
    said = json.loads(record)
    chunk, reason, known = str(said["chunk"]), str(said["reason"]), [str(key) for key in said["keys"]]
    if set(keyring.ids) & set(known):
        return Rejected(chunk, MessageRefused(reason))
    return Rejected(chunk, SigningKeyMismatch(keyring.ids[0], ", ".join(known)))
