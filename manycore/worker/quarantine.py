"""Keeps what was refused, for whoever looks into it: a bounded stream, and a count for each queue.

Each entry is bounded and so is their number: all of it stays below `MAX_ENTRIES * MAX_ENTRY_BYTES`. It keeps a sample
of the message, never the whole: what is refused is not worth more, and cannot be retried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import time

from redis import Redis

from manycore import keys

MAX_ENTRIES = 1000
SAMPLE_BYTES = 512
TEXT_BYTES = 256
MAX_ENTRY_BYTES = SAMPLE_BYTES + 3 * TEXT_BYTES + 128


@dataclass(frozen=True, slots=True)
class Refused:
    """One refused message: when (epoch), where it was found, why, its bytes, how it begins, what id it claims."""

    when: float
    queue: str
    reason: str
    size: int
    sample: bytes
    claimed_id: str


class Quarantine:
    """Raises redis-py's errors when the server is away or full."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, queue: str, reason: str, raw: bytes, claimed_id: str) -> None:
        """Keep one more; the oldest leaves when there are too many."""
        pipe = self._redis.pipeline(transaction=False)
        entry = {
            b"when": f"{time():.3f}",
            b"queue": _cut(queue),
            b"reason": _cut(reason),
            b"size": len(raw),
            b"sample": raw[:SAMPLE_BYTES],
            b"id": _cut(claimed_id),
        }
        pipe.xadd(keys.QUARANTINE, entry, maxlen=MAX_ENTRIES, approximate=False)  # type: ignore[arg-type]
        pipe.expire(keys.QUARANTINE, keys.QUARANTINE_TTL_SECONDS)
        pipe.hincrby(keys.QUARANTINE_COUNTS, _cut(queue).decode(errors="replace"), 1)
        pipe.expire(keys.QUARANTINE_COUNTS, keys.QUARANTINE_TTL_SECONDS)
        pipe.execute()

    def newest(self, count: int = 100) -> Iterator[Refused]:
        """What was refused lately, the newest first."""
        found: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.xrevrange(keys.QUARANTINE, count=count)  # type: ignore[assignment]
        for _, fields in found:
            text = {name: fields[name].decode(errors="replace") for name in (b"queue", b"reason", b"id")}
            yield Refused(
                float(fields[b"when"]),
                text[b"queue"],
                text[b"reason"],
                int(fields[b"size"]),
                fields[b"sample"],
                text[b"id"],
            )

    def counts(self) -> dict[str, int]:
        """How many messages of each queue were refused since the quarantine was last empty for its TTL."""
        found: dict[bytes, bytes] = self._redis.hgetall(keys.QUARANTINE_COUNTS)  # type: ignore[assignment]
        return {queue.decode(errors="replace"): int(count) for queue, count in found.items()}


def _cut(text: str) -> bytes:
    return text.encode(errors="backslashreplace")[:TEXT_BYTES]
