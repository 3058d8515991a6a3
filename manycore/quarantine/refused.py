"""Refused messages, for whoever looks into them: a bounded stream, and a count for each queue.

Each entry is bounded and so is their number: all of it stays below `MAX_ENTRIES * MAX_ENTRY_BYTES`. It keeps a sample
of the message, never the whole: what is refused is not worth more, and cannot be retried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from manycore.protocol import keys
from manycore.protocol.junk import LATEST

MAX_ENTRIES = 1000
SAMPLE_BYTES = 512
TEXT_BYTES = 256
MAX_DIGITS = 19
MAX_ENTRY_BYTES = SAMPLE_BYTES + 3 * TEXT_BYTES + 128
KINDS = {
    "limit is": "too large",
    "signed with key": "unknown key",
    "signature does not hold": "changed",
    "was signed as": "swapped",
    "not one of manycore's": "unsigned",
    "content-type cannot be": "unsigned",
    "cannot be": "malformed",
    "not JSON": "malformed",
    "not a message": "malformed",
    "not base64": "malformed",
    "no call": "malformed",
}
"""What is in a reason -> the kind that it is of; the first that fits."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One refused message: when (epoch), where it was found, why, its bytes, how it begins, what id it claims."""

    id: str
    when: float
    queue: str
    reason: str
    size: int
    sample: bytes
    claimed_id: str

    kind = "refused"

    @property
    def reason_kind(self) -> str:
        """Why, in one of few words: a reason itself tells what was found."""
        return next((kind for words, kind in KINDS.items() if words in self.reason), "other")

    @property
    def obstacle(self) -> str:
        """Why it cannot be retried."""
        return f"it is a refused message; nothing in it was trusted, and only its first {SAMPLE_BYTES} bytes are kept"


class RefusedMessages:
    """Raises redis-py's errors when the server is away or full."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def add(self, queue: str, reason: str, raw: bytes, claimed_id: str) -> None:
        """Keep one more; the oldest leaves when there are too many."""
        pipe = self._redis.pipeline(transaction=False)
        entry = {
            b"queue": _cut(queue),
            b"reason": _cut(reason),
            b"size": len(raw),
            b"sample": raw[:SAMPLE_BYTES],
            b"id": _cut(claimed_id),
        }
        pipe.xadd(keys.QUARANTINE, entry, maxlen=MAX_ENTRIES, approximate=False)
        pipe.expire(keys.QUARANTINE, keys.QUARANTINE_TTL_SECONDS)
        pipe.hincrby(keys.QUARANTINE_COUNTS, _cut(queue).decode(errors="replace"), 1)
        pipe.expire(keys.QUARANTINE_COUNTS, keys.QUARANTINE_TTL_SECONDS)
        pipe.execute()

    def newest(self, count: int = 100) -> Iterator[Refused]:
        """What was refused lately, the newest first."""
        return map(_entry, self._redis.xrevrange(keys.QUARANTINE, count=count))

    def find(self, entry_id: str) -> Refused | None:
        """The entry of this id, which is the stream's."""
        return next(map(_entry, self._redis.xrange(keys.QUARANTINE, entry_id, entry_id)), None)

    def remove(self, ids: Iterable[str]) -> None:
        if chosen := list(ids):
            self._redis.xdel(keys.QUARANTINE, *chosen)

    def total(self) -> int:
        return int(self._redis.xlen(keys.QUARANTINE))

    def counts(self) -> dict[str, int]:
        """How many messages of each queue were refused since there was none for the quarantine's TTL."""
        found: dict[bytes, bytes] = self._redis.hgetall(keys.QUARANTINE_COUNTS)
        return {queue.decode(errors="replace"): int(count) for queue, count in found.items() if _is_number(count)}


def _entry(found: tuple[bytes, dict[bytes, bytes]]) -> Refused:
    entry_id, fields = found
    name, size = entry_id.decode(), fields.get(b"size", b"")
    when = min(int(name.split("-")[0]) / 1000, LATEST)  # the server names an entry by its clock
    texts = (fields.get(field, b"?").decode(errors="replace") for field in (b"queue", b"reason", b"id"))
    queue, reason, claimed_id = texts
    return Refused(
        name, when, queue, reason, int(size) if _is_number(size) else 0, fields.get(b"sample", b""), claimed_id
    )


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < MAX_DIGITS


def _cut(text: str) -> bytes:
    return text.encode(errors="backslashreplace")[:TEXT_BYTES]
