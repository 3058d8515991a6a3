"""The metrics, by Prometheus' conventions: base units, `_total` for what only grows, labels without ids.

`manycore_up` is 0 when the server could not be read; nothing else is told then.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import get_args

import redis
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from manycore.metrics.books import Books
from manycore.metrics.families import counter, gauge
from manycore.metrics.growth import Growth, Labels
from manycore.metrics.readings import MAX_FLEETS, Queue, Readings, read
from manycore.metrics.shelf import Shelf
from manycore.protocol.account import Account, State
from manycore.protocol.clock import ServerClock

logger = logging.getLogger(__name__)
BUCKETS = range(-10, 13)
"""Powers of two seconds: from a millisecond to more than an hour. What is shorter is in the first."""
MAX_REASONS = 30
OPEN: tuple[State, ...] = ("running", "waiting", "detached")
ITEMS = {
    "done": ("manycore_items_done", "Items that have an outcome."),
    "failed": ("manycore_items_failed", "Items whose outcome is an error."),
    "retried": ("manycore_items_retried", "Further attempts at items that failed."),
    "repeats": ("manycore_chunks_repeated", "Chunks that came again after a death or a lost lease."),
}
WORKERS = {
    "leases_renewed": ("manycore_leases_renewed", "Leases that workers have renewed."),
    "leases_expired": ("manycore_leases_expired", "Deliveries that were taken back from a worker that was silent."),
    "strikes": ("manycore_strikes", "Deaths of processes that were blamed on an item."),
}
UP = "manycore_up", "Whether the server could be read."


class ClusterCollector(Collector):
    """Looks at the server at each scrape; two at a time wait for each other."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._clock = ServerClock(client)
        self._books = Books(client)
        self._shelf = Shelf(client)
        self._lock = threading.Lock()
        self._tasks, self._reasons = Labels(), Labels(MAX_REASONS)
        self._queues = Labels(2 * MAX_FLEETS)
        self._items: Growth[tuple[str, str]] = Growth(restarts=False)
        self._seconds: Growth[tuple[str, int]] = Growth(restarts=False)
        self._run: Growth[str] = Growth(restarts=False)
        self._workers: Growth[str] = Growth(restarts=True)
        self._refused: Growth[str] = Growth(restarts=True)
        self._oldest: dict[Queue, tuple[bytes, float]] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would look at the server for it."""
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            try:
                readings = read(self._redis, self._clock, self._books, self._shelf)
            except redis.RedisError as exc:
                logger.warning("The server could not be read: %s", exc)
                yield gauge(*UP, {(): 0})
                return
            yield gauge(*UP, {(): 1})
            yield from self._of_batches(readings)
            yield from self._of_items(readings.changed)
            yield from self._of_queues(readings)
            yield from self._of_quarantine(readings)
            yield from self._of_workers(readings)
            yield from _of_server(readings)

    def _of_batches(self, readings: Readings) -> Iterator[Metric]:
        now, served = readings.now, readings.served
        states = {account.id: account.state(now, served) for account in readings.accounts}
        counts = Counter(states.values())
        by_state = {(state,): counts[state] for state in get_args(State)}
        yield gauge("manycore_batches", "Batches that are known, by state.", by_state, "state")
        unfinished = [each for each in readings.accounts if states[each.id] in OPEN and not each.idle]
        asked_for = Counter(fleet for account in unfinished for fleet in account.fleets)
        by_fleet = {(fleet,): asked_for[fleet] for fleet in readings.fleets}
        yield gauge("manycore_batches_unfinished", "Batches that a fleet has still work of.", by_fleet, "fleet")
        silent = max((now - max(each.last, each.begun) for each in unfinished), default=0.0)
        text = "How long the most silent of the unfinished batches has had no outcome."
        yield gauge("manycore_batch_silent_seconds", text, {(): silent})

    def _of_items(self, changed: list[Account]) -> Iterator[Metric]:
        called = self._tasks.of(account.task for account in changed)
        tasks = {(each.id, each.started): (called[each.task], each) for each in changed}
        self._items.take(
            {key: {(task, what): getattr(each, what) for what in ITEMS} for key, (task, each) in tasks.items()}
        )
        self._seconds.take({key: _by_bucket(task, each) for key, (task, each) in tasks.items()})
        self._run.take({key: {task: each.run_seconds} for key, (task, each) in tasks.items()})
        for what, (name, text) in ITEMS.items():
            totals = {(task,): count for (task, kind), count in self._items.totals().items() if kind == what}
            yield counter(name, text, totals, "task")
        yield self._histogram()

    def _histogram(self) -> Metric:
        family = HistogramMetricFamily("manycore_item_seconds", "How long items ran.", labels=["task"])
        counted = self._seconds.totals()
        for task, run in sorted(self._run.totals().items()):
            total, buckets = 0.0, []
            for bucket in BUCKETS:
                total += counted.get((task, bucket), 0.0)
                buckets.append((str(2.0**bucket), total))
            family.add_metric([task], [*buckets, ("+Inf", total)], run)
        return family

    def _of_queues(self, readings: Readings) -> Iterator[Metric]:
        yield gauge("manycore_queue_messages", "Chunks that wait.", readings.lengths, "fleet", "priority")
        self._oldest = {
            queue: (last, self._oldest[queue][1] if self._oldest.get(queue, (b"",))[0] == last else readings.now)
            for queue, last in readings.oldest.items()
        }
        since = {queue: seen for queue, (_, seen) in self._oldest.items()}
        ages = {queue: readings.now - since.get(queue, readings.now) for queue in readings.lengths}
        text = "How long the next chunk has been seen waiting."
        yield gauge("manycore_queue_age_seconds", text, ages, "fleet", "priority")
        yield gauge("manycore_in_flight_messages", "Chunks that workers hold.", {(): readings.in_flight})

    def _of_quarantine(self, readings: Readings) -> Iterator[Metric]:
        counted = dict.fromkeys(readings.fleets, 0) | readings.refused
        called = self._queues.of(counted)
        self._refused.take({queue: {called[queue]: count} for queue, count in counted.items()})
        refused = {(queue,): count for queue, count in self._refused.totals().items()}
        yield counter("manycore_refused_messages", "Messages that were not trusted or not runnable.", refused, "queue")
        held: Counter[tuple[str, str]] = Counter()
        for (kind, reason), count in readings.quarantined.items():
            held[kind, self._reasons.of([reason])[reason]] += count
        yield gauge("manycore_quarantine_entries", "What was put aside, and why.", held, "kind", "reason")

    def _of_workers(self, readings: Readings) -> Iterator[Metric]:
        slots, busy, workers = (Counter(dict.fromkeys(readings.fleets, 0)) for _ in range(3))
        for worker in readings.workers:
            for fleet in set(worker.queues).intersection(workers):
                slots[fleet] += worker.slots
                busy[fleet] += min(worker.busy, worker.slots)
                workers[fleet] += 1
        alive = {(fleet,): count for fleet, count in workers.items()}
        yield gauge("manycore_workers", "Workers that live.", alive, "fleet")
        by_state = {(fleet, "busy"): busy[fleet] for fleet in slots}
        by_state |= {(fleet, "idle"): slots[fleet] - busy[fleet] for fleet in slots}
        yield gauge("manycore_slots", "Slots: each runs one chunk at a time.", by_state, "fleet", "state")
        self._workers.take({each.name: each.counts for each in readings.workers})
        totals = self._workers.totals()
        for what, (name, text) in WORKERS.items():
            yield counter(name, text, {(): totals.get(what, 0.0)})
        rooms = {worker.objects.home: worker.objects for worker in readings.workers if worker.objects}.values()
        used = {(): sum(room.used_bytes for room in rooms)}
        yield gauge("manycore_object_store_bytes", "Large objects in the shared memory of the workers' hosts.", used)
        fullest = max((room.used_bytes / max(room.max_bytes, 1) for room in rooms), default=0.0)
        yield gauge("manycore_object_store_fullest_ratio", "How full the fullest host's is.", {(): fullest})


def _of_server(readings: Readings) -> Iterator[Metric]:
    yield gauge("manycore_redis_memory_bytes", "Memory of the server.", {(): readings.memory})
    yield gauge("manycore_redis_memory_limit_bytes", "Its limit, 0 for none.", {(): readings.memory_limit})
    traffic = {("received",): readings.received, ("sent",): readings.sent}
    yield counter("manycore_redis_network_bytes", "What went in and out of the server.", traffic, "direction")
    yield gauge("manycore_redis_round_trip_seconds", "How long a PING took.", {(): readings.round_trip})


def _by_bucket(task: str, account: Account) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for bucket, count in account.seconds.items():
        place = task, min(max(bucket, BUCKETS.start), BUCKETS.stop - 1)
        found[place] = found.get(place, 0.0) + count
    return found
