"""One look at the server: all that the metrics tell, in a few round trips. It keeps nothing between two looks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

import redis

from manycore.metrics.books import Books
from manycore.metrics.shelf import Shelf
from manycore.protocol.account import Account
from manycore.protocol.broker import QUEUES, UNACKED
from manycore.protocol.clock import ServerClock
from manycore.protocol.priority import PRIORITY_SUFFIXES
from manycore.protocol.roster import Worker, live_workers
from manycore.quarantine.refused import RefusedMessages

logger = logging.getLogger(__name__)
T = TypeVar("T")
PRIORITIES = tuple(suffix[-1:] or "0" for suffix in PRIORITY_SUFFIXES)
MAX_FLEETS = 100
"""That are looked at. Those of workers go before those that a batch alone asks for: anybody may ask for any."""
Queue = tuple[str, str]
"""Fleet and priority."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Times are epoch seconds of the server, sizes bytes."""

    now: float
    accounts: list[Account]
    changed: list[Account]
    """Those of them that may have, since the last look."""
    workers: list[Worker]
    lengths: dict[Queue, int]
    oldest: dict[Queue, bytes]
    """What tells the message that leaves next from another."""
    in_flight: int
    refused: dict[str, int]
    quarantined: Counter[tuple[str, str]]
    """By kind and reason."""
    memory: int
    memory_limit: int
    received: int
    sent: int
    round_trip: float

    @property
    def fleets(self) -> list[str]:
        """Those that were looked at."""
        return list(dict.fromkeys(fleet for fleet, _ in self.lengths))

    @property
    def served(self) -> set[str]:
        """The fleets that have a worker."""
        return {queue for worker in self.workers for queue in worker.queues}


def read(client: redis.Redis, clock: ServerClock, books: Books, shelf: Shelf) -> Readings:
    """Look once. Raises redis-py's errors. What somebody else has put in the place of something of ours is left out."""
    began = perf_counter()
    client.ping()
    round_trip = perf_counter() - began
    nobody: tuple[list[Account], list[Account]] = [], []
    accounts, changed = _or(nobody, books.look)
    workers: list[Worker] = _or([], lambda: live_workers(client))
    lengths, oldest = _queues(client, _fleets(accounts, workers))
    memory, stats = client.info("memory"), client.info("stats")
    return Readings(
        now=clock.now(),
        accounts=accounts,
        changed=changed,
        workers=workers,
        lengths=lengths,
        oldest=oldest,
        in_flight=_or(0, lambda: int(client.hlen(UNACKED))),
        refused=_or({}, RefusedMessages(client).counts),
        quarantined=_or(Counter(), shelf.look),
        memory=int(memory["used_memory"]),
        memory_limit=int(memory["maxmemory"]),
        received=int(stats["total_net_input_bytes"]),
        sent=int(stats["total_net_output_bytes"]),
        round_trip=round_trip,
    )


def _or(nothing: T, look: Callable[[], T]) -> T:
    """What is there, or nothing where that is no key of ours, which the exporter has no right to mend."""
    try:
        return look()
    except redis.ResponseError as exc:
        logger.warning("Something on the server cannot be read: %s", exc)
        return nothing


def _fleets(accounts: list[Account], workers: list[Worker]) -> list[str]:
    """Those of batches that run are among them: one without a worker is what an alert is about."""
    served = (queue for worker in workers for queue in worker.queues)
    asked_for = (fleet for account in accounts if account.end is None for fleet in account.fleets)
    return list(dict.fromkeys([*QUEUES, *sorted(served), *sorted(asked_for)]))[:MAX_FLEETS]


def _queues(client: redis.Redis, fleets: list[str]) -> tuple[dict[Queue, int], dict[Queue, bytes]]:
    pipe = client.pipeline(transaction=False)
    kinds = list(zip(PRIORITY_SUFFIXES, PRIORITIES, strict=True))
    names = [(fleet, suffix, priority) for fleet in fleets for suffix, priority in kinds]
    for fleet, suffix, _ in names:
        pipe.llen(fleet + suffix)
        pipe.lindex(fleet + suffix, -1)
    answers: list[Any] = pipe.execute(raise_on_error=False)  # a key of another type is nobody's queue
    lengths, oldest = {}, {}
    for (fleet, _, priority), length, last in zip(names, answers[::2], answers[1::2], strict=True):
        lengths[fleet, priority] = length if isinstance(length, int) else 0
        if isinstance(last, bytes):
            oldest[fleet, priority] = last[-200:]  # of a message, what has its id: its end
    return lengths, oldest
