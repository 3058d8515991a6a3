"""All batches as Flower shows them, from Redis. What is kept between two looks is only so as not to read it twice.

A look reads the accounts that were told of since the last one; a Flower that has just started reads all.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import Any

import redis

from manycore.protocol.account import Account, Accounts
from manycore.protocol.activity import activities
from manycore.protocol.clock import ServerClock
from manycore.protocol.logs import LogReader
from manycore.protocol.roster import live_workers
from ops.flower.whereabouts import Whereabouts

FRESH_SECONDS = 0.5
"""How old a look may be: many browsers cost no more than one."""
OVERLAP_SECONDS = 2.0
"""How far the next look reaches back behind the last: what was told meanwhile must not be missed."""
STALE_SECONDS = 60.0
"""How often everything is read anew: accounts also leave, by their TTL."""
SORTS: dict[str, Callable[[Account], Any]] = {
    "id": lambda account: account.id,
    "task": lambda account: account.task,
    "fleet": lambda account: account.fleet,
    "done": lambda account: account.done / account.total if account.total else 0.0,
    "total": lambda account: account.total or 0,
    "failed": lambda account: account.failed,
    "retried": lambda account: account.retried,
    "repeats": lambda account: account.repeats,
    "started": lambda account: account.started,
    "client": lambda account: account.client,
}
MAX_ROWS = 500
LOG_ENTRIES = 8
"""Of a log, that a page begins with: 512 KiB at most."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a page asks for: rows `start` to `start + length` of those that match, in which order."""

    search: str = ""
    state: str = ""
    sort: str = "started"
    descending: bool = True
    start: int = 0
    length: int = 50


class Board:
    """Of one Flower. Threads may share it. Raises redis-py's errors when the server is away."""

    def __init__(self, client: redis.Redis, batch_ttl_seconds: int) -> None:
        self._redis = client
        self._ttl = batch_ttl_seconds
        self._accounts = Accounts(client)
        self._clock = ServerClock(client)
        self._whereabouts = Whereabouts(client)
        self._lock = threading.Lock()
        self._known: dict[str, Account] = {}
        self._fleets: set[str] = set()
        self._looked_at = self._read_all_at = float("-inf")
        self._told_until = 0.0

    def page(self, wish: Wish) -> dict[str, Any]:
        """The rows that are wanted, as JSON has them, and how many there are of each state."""
        now = self._look()
        states = {account.id: account.state(now, self._fleets) for account in self._known.values()}
        found = [account for account in self._known.values() if _matches(account, wish.search)]
        counts = Counter(states[account.id] for account in found)
        chosen = [account for account in found if wish.state in ("", states[account.id])]
        chosen.sort(key=lambda account: account.started, reverse=True)
        if wish.sort == "state":
            chosen.sort(key=lambda account: states[account.id], reverse=wish.descending)
        elif wish.sort in SORTS:
            chosen.sort(key=SORTS[wish.sort], reverse=wish.descending)
        rows = chosen[wish.start : wish.start + min(wish.length, MAX_ROWS)]
        return {
            "batches": [self._shown(account, now) for account in rows],
            "matching": len(chosen),
            "total": len(self._known),
            "states": counts,
            "now": now,
        }

    def batch(self, batch: str) -> dict[str, Any] | None:
        """All that is known of one batch, None if nothing is."""
        now = self._look()
        account = self._accounts.find(batch)
        if account is None:
            return None
        shown = self._shown(account, now) | {"now": now, "call": account.call}
        shown["seconds"] = [
            {"up_to": 2.0**bucket, "items": count} for bucket, count in sorted(account.seconds.items()) if count > 0
        ]
        shown["errors"] = [
            {"name": name, "items": count, "traceback": text}
            for name, (count, text) in sorted(account.errors.items(), key=lambda entry: -entry[1][0])
        ]
        working = [
            asdict(slot) | {"worker": worker.worker}
            for worker in activities(self._redis)
            for slot in worker.busy
            if slot.batch == batch
        ]
        return shown | {"points": account.points, "slots": working}

    def log(self, batch: str, after: str) -> dict[str, Any]:
        """What its items wrote since the entry `after`, at first the newest; and which entry is the last."""
        reader = LogReader(self._redis, batch, after)
        if not after:
            reader.skip_to_newest(LOG_ENTRIES)
        lines = [asdict(line) for line in reader.new()]
        return {"lines": lines[-MAX_ROWS:], "last": reader.last}

    def workers(self) -> dict[str, Any]:
        """What the slots of all workers do, as JSON has it."""
        now = self._look()
        failed = {name: account.failed for name, account in self._known.items() if account.failed}
        return {"workers": [_with_failed(worker.shown(), failed) for worker in activities(self._redis)], "now": now}

    def cancel(self, batch: str, *, terminate: bool) -> bool:
        """Stop a batch, as `Batch.cancel` does; False if nobody knows it or nothing is left of it."""
        account = self._accounts.find(batch)
        if account is None or account.is_past_cancelling(terminate=terminate):
            return False
        self._accounts.cancel(account, self._ttl, terminate=terminate)
        return True

    def _shown(self, account: Account, now: float) -> dict[str, Any]:
        """With where its chunks are, until it has ended."""
        shown = account.shown(now, self._fleets)
        if account.ended is None:
            shown["chunks"] = self._whereabouts.look({*self._fleets, *account.fleets}).of(account.id)
        return shown

    def _look(self) -> float:
        """Learn what was told since the last look; gives the time at the server."""
        with self._lock:
            if monotonic() - self._looked_at > FRESH_SECONDS:
                self._read()
                self._looked_at = monotonic()
            return self._clock.now()

    def _read(self) -> None:
        anew = monotonic() - self._read_all_at > STALE_SECONDS
        told = self._accounts.told_since(0.0 if anew else self._told_until - OVERLAP_SECONDS)
        found = {account.id: _slim(account) for account in self._accounts.read(told)}
        self._known = found if anew else self._known | found
        if anew:
            self._read_all_at = monotonic()
        self._told_until = max([self._told_until, *told.values()])
        self._fleets = {queue for worker in live_workers(self._redis) for queue in worker.queues}


def _matches(account: Account, search: str) -> bool:
    """Whether each word is part of the batch's id, task, fleet or client."""
    text = f"{account.id} {account.task} {account.fleet} {account.client}".lower()
    return all(word in text for word in search.lower().split())


def _with_failed(worker: dict[str, Any], failed: dict[str, int]) -> dict[str, Any]:
    """With how many items have failed of the batches that its slots work on."""
    busy = [slot | {"failed": failed.get(slot["batch"], 0)} for slot in worker["busy"]]
    return worker | {"busy": busy}


def _slim(account: Account) -> Account:
    """Without what a list does not show: ten thousand are kept."""
    return replace(account, seconds={}, errors={}, points=account.points if account.ended is None else ())
