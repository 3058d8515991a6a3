"""The metrics, by Prometheus' conventions: base units, `_total` for what only grows, labels without ids.

`manycore_up` is 0 when the server could not be read; nothing else is told then.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from manycore.metrics.growth import Growth, Labels
from manycore.metrics.readings import Queue, Readings, read
from manycore.protocol.account import Account, State
from manycore.protocol.clock import ServerClock

logger = logging.getLogger(__name__)
BUCKETS = range(-10, 13)
"""Powers of two seconds: from a millisecond to more than an hour. What is shorter is in the first."""
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


class ClusterCollector(Collector):
    """Looks at the server at each scrape; two at a time wait for each other."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._clock = ServerClock(client)
        self._lock = threading.Lock()
        self._tasks = Labels()
        self._items: Growth[tuple[str, str]] = Growth(restarts=False)
        self._seconds: Growth[tuple[str, int]] = Growth(restarts=False)
        self._workers: Growth[str] = Growth(restarts=True)
        self._refused: Growth[str] = Growth(restarts=True)
        self._oldest: dict[Queue, tuple[bytes, float]] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would look at the server for it."""
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            try:
                readings = read(self._redis, self._clock)
            except redis.RedisError as exc:
                logger.warning("The server could not be read: %s", exc)
                yield _gauge("manycore_up", "Whether the server could be read.", {(): 0})
                return
            yield _gauge("manycore_up", "Whether the server could be read.", {(): 1})
            yield from self._of_batches(readings)
            yield from self._of_queues(readings)
            yield from self._of_workers(readings)
            yield from _of_server(readings)

    def _of_batches(self, readings: Readings) -> Iterator[Metric]:
        now, fleets = readings.now, readings.fleets
        states = {account.id: account.state(now, fleets) for account in readings.accounts}
        counts = Counter(states.values())
        by_state = {(state,): counts[state] for state in get_args(State)}
        yield _gauge("manycore_batches", "Batches that are known, by state.", by_state, "state")
        running = [each for each in readings.accounts if states[each.id] in ("running", "waiting", "detached")]
        silent = max((now - max(each.last, each.started) for each in running), default=0.0)
        text = "How long the most silent batch that is not done has had no outcome."
        yield _gauge("manycore_batch_silent_seconds", text, {(): silent})
        yield from self._of_items(readings.accounts)

    def _of_items(self, accounts: list[Account]) -> Iterator[Metric]:
        called = self._tasks.of(account.task for account in accounts)
        self._items.take(
            {each.id: {(called[each.task], what): getattr(each, what) for what in ITEMS} for each in accounts}
        )
        for what, (name, text) in ITEMS.items():
            totals = {(task,): count for (task, kind), count in self._items.totals.items() if kind == what}
            yield _counter(name, text, totals, "task")
        self._seconds.take({each.id: _by_bucket(called[each.task], each) for each in accounts})
        yield self._histogram()

    def _histogram(self) -> Metric:
        family = HistogramMetricFamily("manycore_item_seconds", "How long items ran.", labels=["task"])
        for task in sorted({task for task, _ in self._seconds.totals}):
            total, buckets = 0.0, []
            for bucket in BUCKETS:
                total += self._seconds.totals.get((task, bucket), 0.0)
                buckets.append((str(2.0**bucket), total))
            buckets.append(("+Inf", total))
            family.add_metric([task], buckets, sum_value=None)
        return family

    def _of_queues(self, readings: Readings) -> Iterator[Metric]:
        yield _gauge("manycore_queue_messages", "Chunks that wait.", readings.lengths, "fleet", "priority")
        self._oldest = {
            queue: (last, self._oldest[queue][1] if self._oldest.get(queue, (b"",))[0] == last else readings.now)
            for queue, last in readings.oldest.items()
        }
        ages = {(fleet,): 0.0 for fleet, _ in readings.lengths}
        for (fleet, _), (_, since) in self._oldest.items():
            ages[fleet,] = max(ages[fleet,], readings.now - since)
        yield _gauge("manycore_queue_age_seconds", "How long the next chunk has been seen waiting.", ages, "fleet")
        yield _gauge("manycore_in_flight_messages", "Chunks that workers hold.", {(): readings.in_flight})
        self._refused.take({"": readings.refused})
        refused = {(fleet,): count for fleet, count in self._refused.totals.items()}
        yield _counter("manycore_refused_messages", "Messages that were not trusted or not runnable.", refused, "fleet")
        poison = {(fleet,): count for fleet, count in readings.poison.items()}
        yield _gauge("manycore_quarantine_items", "Items put aside since they killed their process.", poison, "fleet")

    def _of_workers(self, readings: Readings) -> Iterator[Metric]:
        slots, busy, workers = (Counter({(fleet,): 0 for fleet, _ in readings.lengths}) for _ in range(3))
        for worker in readings.workers:
            for fleet in worker.queues:
                slots[fleet,] += worker.slots
                busy[fleet,] += worker.busy
                workers[fleet,] += 1
        yield _gauge("manycore_workers", "Workers that live.", workers, "fleet")
        yield _gauge("manycore_slots", "Items that can run at a time.", slots, "fleet")
        yield _gauge("manycore_slots_busy", "Slots that run a chunk.", busy, "fleet")
        self._workers.take({each.name: each.counts for each in readings.workers})
        for what, (name, text) in WORKERS.items():
            yield _counter(name, text, {(): self._workers.totals.get(what, 0.0)})


def _of_server(readings: Readings) -> Iterator[Metric]:
    yield _gauge("manycore_redis_memory_bytes", "Memory of the server.", {(): readings.memory})
    yield _gauge("manycore_redis_memory_limit_bytes", "Its limit, 0 for none.", {(): readings.memory_limit})
    traffic = {("received",): readings.received, ("sent",): readings.sent}
    yield _counter("manycore_redis_network_bytes", "What went in and out of the server.", traffic, "direction")
    yield _gauge("manycore_redis_round_trip_seconds", "How long a PING took.", {(): readings.round_trip})


def _by_kind(task: str, account: Account) -> dict[tuple[str, str], float]:
    return {(task, kind): getattr(account, kind) for kind in ITEMS}


def _by_bucket(task: str, account: Account) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for bucket, count in account.seconds.items():
        place = task, min(max(bucket, BUCKETS.start), BUCKETS.stop - 1)
        found[place] = found.get(place, 0.0) + count
    return found


def _gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def _counter(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _filled(family: Any, values: Mapping[Any, float]) -> Metric:
    for labels, value in sorted(values.items()):
        family.add_metric(list(labels), value)
    metric: Metric = family
    return metric
