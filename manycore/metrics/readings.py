"""One look at the server: all that the metrics tell, in a few round trips. It keeps nothing between two looks."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import redis

from manycore.protocol import keys
from manycore.protocol.account import Account, Accounts
from manycore.protocol.broker import PRIORITY_SUFFIXES, QUEUES, UNACKED
from manycore.protocol.clock import ServerClock
from manycore.protocol.roster import Worker, live_workers
from manycore.quarantine.poison import Held
from manycore.quarantine.refused import RefusedMessages

PRIORITIES = tuple(suffix[-1:] or "0" for suffix in PRIORITY_SUFFIXES)
Queue = tuple[str, str]
"""Fleet and priority."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Times are epoch seconds of the server, sizes bytes."""

    now: float
    accounts: list[Account]
    workers: list[Worker]
    lengths: dict[Queue, int]
    oldest: dict[Queue, bytes]
    """What tells the message that leaves next from another."""
    in_flight: int
    refused: dict[str, int]
    poison: dict[str, int]
    memory: int
    memory_limit: int
    received: int
    sent: int
    round_trip: float

    @property
    def fleets(self) -> set[str]:
        return {queue for worker in self.workers for queue in worker.queues}


def read(client: redis.Redis, clock: ServerClock) -> Readings:
    """Look once. Raises redis-py's errors."""
    began = perf_counter()
    client.ping()
    round_trip = perf_counter() - began
    accounts, workers = Accounts(client).newest(), live_workers(client)
    fleets = {*QUEUES, *(queue for worker in workers for queue in worker.queues), *_asked_for(accounts)}
    lengths, oldest = _queues(client, sorted(fleets))
    memory, stats = client.info("memory"), client.info("stats")
    return Readings(
        now=clock.now(),
        accounts=accounts,
        workers=workers,
        lengths=lengths,
        oldest=oldest,
        in_flight=int(client.hlen(UNACKED)),
        refused=RefusedMessages(client).counts(),
        poison=_poison(client),
        memory=int(memory["used_memory"]),
        memory_limit=int(memory["maxmemory"]),
        received=int(stats["total_net_input_bytes"]),
        sent=int(stats["total_net_output_bytes"]),
        round_trip=round_trip,
    )


def _asked_for(accounts: list[Account]) -> set[str]:
    """The fleets of batches that run: one without a worker is what an alert is about."""
    return {fleet for account in accounts if account.end is None for fleet in account.fleet.split(", ") if fleet}


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


def _poison(client: redis.Redis) -> dict[str, int]:
    found: dict[str, int] = {}
    entries: Any = client.hvals(keys.QUARANTINE_ITEMS)
    for entry in entries:
        queue = Held.parse(entry).queue
        found[queue] = found.get(queue, 0) + 1
    return found
