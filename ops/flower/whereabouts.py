"""Where the chunks of batches are: how many wait in the queues, and how many are at workers, told from their messages.

Messages are not opened, and of a long queue only those are looked at whose turn is next: a look costs what it costs,
however many batches and browsers there are.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import redis

from manycore.protocol.broker import UNACKED
from manycore.protocol.message import batch_of
from manycore.protocol.priority import PRIORITY_SUFFIXES

MOST = 300
"""Messages that are looked at, of each priority of a queue."""
MOST_UNACKED = 3_000
FRESH_SECONDS = 2.0
_ID = re.compile(rb'"id": ?("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Chunks:
    """How many chunks of each batch there are. `whole` unless a queue is longer than what was looked at."""

    waiting: Counter[str] = field(default_factory=Counter)
    in_work: Counter[str] = field(default_factory=Counter)
    whole: bool = True

    def of(self, batch: str) -> dict[str, Any]:
        """As JSON has it."""
        return {"waiting": self.waiting[batch], "in_work": self.in_work[batch], "all_seen": self.whole}


class Whereabouts:
    """Threads may share it. Raises redis-py's errors when the server is away."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client
        self._lock = threading.Lock()
        self._chunks = Chunks()
        self._looked_at = float("-inf")

    def look(self, queues: Iterable[str]) -> Chunks:
        """What is in these queues, and at workers; as it was a moment ago, if somebody has just looked."""
        with self._lock:
            if monotonic() - self._looked_at > FRESH_SECONDS:
                self._chunks = self._read(sorted(queues))
                self._looked_at = monotonic()
            return self._chunks

    def _read(self, queues: list[str]) -> Chunks:
        pipe = self._redis.pipeline(transaction=False)
        for name in (queue + suffix for queue in queues for suffix in PRIORITY_SUFFIXES):
            pipe.llen(name)
            pipe.lrange(name, -MOST, -1)
        pipe.hlen(UNACKED)
        *found, unacked = pipe.execute()
        waiting = Counter(batch for some in found[1::2] for batch in map(_batch, some) if batch)
        taken = self._redis.hvals(UNACKED) if unacked <= MOST_UNACKED else []
        in_work = Counter(batch for batch in map(_batch, taken) if batch)
        whole = unacked <= MOST_UNACKED and all(length <= MOST for length in found[::2])
        return Chunks(waiting, in_work, whole)


def _batch(message: bytes) -> str:
    """Whose chunk a message is, waiting or taken; empty for what is none."""
    found = _ID.search(message)
    try:
        return batch_of(json.loads(found[1])) if found else ""
    except ValueError:
        return ""
