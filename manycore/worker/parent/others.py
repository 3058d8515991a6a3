"""Whether other workers take from the queues of this one: its children then have to share what they have beforehand.

A slot here that falls idle wakes one of them, and gets something at once. A slot of another worker cannot, so what it
is to get must be in the queue already: that costs messages, which where there is one worker nobody would need.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from manycore.protocol import keys
from manycore.protocol.junk import UNREADABLE
from manycore.worker.context import WorkerContext

MOST_ASKED = 8
"""Of more workers some are taken to be of the same queues."""
SURE = 2
"""Looks in a row that found nobody: workers that are started together see each other only then."""


class Others:
    """Looks with each heartbeat, and says it on the noticeboard."""

    def __init__(self, context: WorkerContext, name: str, queues: Sequence[str]) -> None:
        self._context = context
        self._name = name.encode()
        self._queues = set(queues)
        self._alone = 0

    def look(self, names: Sequence[bytes]) -> None:
        """See whose these names of workers are, of which `MOST_ASKED + 1` are enough. Raises redis-py's errors."""
        others = [name for name in names if name != self._name]
        self._alone = 0 if self._meet(others) else self._alone + 1
        if self._alone in (0, SURE):
            self._context.noticeboard.say_others(not self._alone)

    def _meet(self, others: Sequence[bytes]) -> bool:
        if not others or len(others) >= MOST_ASKED:
            return bool(others)
        pipe = self._context.redis.pipeline(transaction=False)
        for name in others:
            pipe.hget(keys.of_worker(keys.worker, name), "queues")
        return any(self._shares(found) for found in pipe.execute() if found is not None)

    def _shares(self, queues: bytes) -> bool:
        try:
            return not self._queues.isdisjoint(json.loads(queues))
        except UNREADABLE:
            return True
