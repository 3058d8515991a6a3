"""Keeps the accounts of a client's batches: says what they are, that the client lives, and how they ended.

Workers count meanwhile. At the end the client's own ledger, in which each item stands once, sets the numbers right.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

import redis

from manycore.client.lane import Lane
from manycore.errors import BatchCancelled, BatchHalted
from manycore.protocol import account, keys
from manycore.protocol.account import State
from manycore.protocol.settings import Settings

SEEN_SECONDS = 5.0
"""How often it says that the client lives."""
MAX_DELETED = 1_000
"""Of those that are deleted, so many are remembered."""
MAX_NAMES = 3
"""Of the programs of one batch that are told. A stream of `submit` calls can have many."""
Telling = Callable[[Any], account.Told]


class _Said(NamedTuple):
    """What was told of a lane, and when."""

    at: float = float("-inf")
    total: int | None = None
    sent_items: int = 0
    idle: bool = False


class Bookkeeper:
    """Of one session; the housekeeper's thread alone uses it. What the server does not take now is told again."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._redis = client
        self._ttl = settings.batch_ttl_seconds
        self._client = f"{socket.gethostname()}:{os.getpid()}"
        self._untold: dict[str, Telling] = {}
        self._said: dict[str, _Said] = {}
        self._deleted: dict[str, None] = {}
        """The last of the batches that were deleted here: what is told of one would bring its account back."""

    def forget(self, batch: str) -> None:
        """It is deleted: tell nothing more of it, whichever of its lanes comes to its end yet."""
        self._untold.pop(batch, None)
        self._deleted[batch] = None
        if len(self._deleted) > MAX_DELETED:
            del self._deleted[next(iter(self._deleted))]

    def remember(self, batch: str) -> None:
        """It begins anew."""
        self._deleted.pop(batch, None)

    def look(self, lanes: list[Lane]) -> None:
        """Tell of those that are new, grown, busy again, or were not told of for a while. Raises redis-py's errors."""
        now = monotonic()
        known, self._said = self._said, {}
        for lane in lanes:
            last, sent_items = known.get(lane.id, _Said()), lane.ledger.sent_items
            # Calls that follow one another leave it without work for a moment: it is idle once none has come since.
            idle = _is_answered(lane) and (last.idle or last.sent_items == sent_items)
            is_due = now - last.at > SEEN_SECONDS or last.total != lane.total or (last.idle and not idle)
            if sent_items and is_due:
                last = _Said(now, lane.total, sent_items, idle)
                self._tell(lane, self._facts(lane, idle) | {"seen": True})
            self._said[lane.id] = last
        self.work()

    def over(self, lane: Lane, ended_at: float) -> None:
        """Tell how it ended (monotonic); a named batch that only this client has given up goes on."""
        if not lane.ledger.sent_items:
            return
        end = end_of(lane)
        told = self._facts(lane, end is not None)
        if end == "done":
            told["set"] |= {"done": len(lane.ledger.answered), "failed": lane.ledger.failed}
        ago = round(max(0.0, monotonic() - ended_at), 3)
        self._tell(lane, told | ({"end": end, "ago": ago} if end else {}))

    def work(self) -> None:
        """Tell what is untold. Raises redis-py's errors; then it stays untold."""
        if not self._untold:
            return
        pipe = self._redis.pipeline(transaction=False)
        account.execute(pipe, [telling(pipe) for telling in self._untold.values()])
        self._untold.clear()

    def _tell(self, lane: Lane, told: dict[str, Any]) -> None:
        if lane.id in self._deleted:
            return
        ttl = keys.stream_ttl(lane.ephemeral, self._ttl)
        self._untold[lane.id] = lambda pipe: account.tell(pipe, lane.id, ttl, told)

    def _facts(self, lane: Lane, idle: bool) -> dict[str, Any]:
        ledger, total = lane.ledger, lane.total
        names = sorted(ledger.programs)
        known = {
            "client": self._client,
            "task": ", ".join([*names[:MAX_NAMES], *(["..."] if len(names) > MAX_NAMES else [])]),
            "fleet": ", ".join(sorted(ledger.queues)),
            "total": total,
            "call": lane.source.first_call,
        }
        return {
            "facts": {"named": int(not lane.ephemeral)},
            "set": {name: value for name, value in known.items() if value} | {"idle": int(idle)},
        }


def _is_answered(lane: Lane) -> bool:
    """Whether all that there is of it has an outcome: `submit`, or a slow input, may bring more."""
    return lane.ledger.complete and not lane.source.ready()


def end_of(lane: Lane) -> State | None:
    """How a lane that is over has ended, None if its batch goes on without it."""
    if lane.state == "ended":
        if lane.stop_error is None:
            return "done" if lane.source.error is None else "failed"
        return "halted" if isinstance(lane.stop_error, BatchHalted) else "cancelled"
    if not lane.ephemeral:
        return None
    return "cancelled" if isinstance(lane.failure, BatchCancelled) else "failed"
