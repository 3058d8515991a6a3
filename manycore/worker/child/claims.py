"""Counts the executions of what may be deadly before they begin, so that it is not run once too often.

An item that has killed a process, and one that may have, is claimed: its deaths, its executions under way, and the one
that may have died unseen, together with this one must not exceed `max_executions` (`claim.lua`). If they would, since
two copies of a message run at once, it is postponed, until the other copy's outcome, or its death, decides. What stays
postponed has died without a word, and gets its verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from manycore.errors import WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.failure import dump_error
from manycore.protocol.message import Chunk
from manycore.protocol.script import Script
from manycore.worker.child.turn import Doomed, Postponed
from manycore.worker.strikes import UNSEEN, Strike

CLAIM, SETTLE = Script(__package__, "claim"), Script(__package__, "settle")
MAX_POSTPONEMENTS = 5
"""Each takes a lease: whatever the other copy ran on has come to its end by then, or to another worker."""
NO_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Claims:
    """Those of one run of a chunk."""

    redis: Redis
    chunk: Chunk
    run: str
    max_executions: int
    ttl_seconds: int
    struck: Mapping[int, Strike]
    """By index: what is known to have killed."""
    put_aside: Callable[[int, Strike], object]
    """Called for the item at a position that gets its verdict here."""

    def queue(self, pipe: Any, position: int, unseen: str) -> None:
        """Ask on `pipe` for the item at `position`, which one of the runs `unseen` may have begun."""
        CLAIM.queue(pipe, self._keys, self._args(str(self.chunk.index(position)), unseen, self.max_executions))

    def judge(self, position: int, executions: int) -> None:
        """Raise what the answer means: nothing if it is 0, else `Postponed`, or in the end `Doomed`."""
        if not executions:
            return
        if self.chunk.postponed < MAX_POSTPONEMENTS:
            raise Postponed
        known = self.struck.get(self.chunk.index(position), Strike(0, UNSEEN))
        last = Strike(executions, known.cause, known.trace)
        self.put_aside(position, last)
        raise Doomed(dump_error(WorkerCrashed(last.count, last.cause), last.trace))

    def end(self, position: int) -> None:
        """The execution has come to its end, and took no process along. Raises redis-py's errors."""
        SETTLE.run(self.redis, self._keys[:1], [str(self.chunk.index(position)), self.run])

    def take_step(self, subject: str) -> None:
        """Claim a step before the items; each process takes it, so there may be many at a time."""
        CLAIM.run(self.redis, self._keys, self._args(subject, "", NO_LIMIT))

    def end_step(self, subject: str) -> None:
        """It has come to its end. Raises redis-py's errors, as `take_step` does."""
        SETTLE.run(self.redis, self._keys[:1], [subject, self.run])

    def _args(self, subject: str, unseen: str, most: int) -> list[str | int]:
        return [subject, self.run, unseen, most, self.ttl_seconds, self.chunk.id]

    @property
    def _keys(self) -> list[str]:
        return [keys.strikes(self.chunk.batch), keys.resume(self.chunk.batch)]
