"""Cost against items: what one no-op of a lazy `map` takes, and what its client needs at most."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from time import perf_counter

from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import noop
from manycore import Cluster


def point(items: int) -> dict[str, float]:
    """One `map` of so many items, on a warm cluster."""

    def lazy() -> Iterator[int]:
        yield from range(items)

    with Cluster(workers=2) as cluster:
        assert sum(cluster.map(noop, range(1_000))) == sum(range(1_000))
        start = perf_counter()
        assert sum(cluster.map(noop, lazy())) == items * (items - 1) // 2
        seconds = perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cost": 1e6 * seconds / items, "memory": peak}


STUDY = Study(
    "items",
    "A `map` over a generator of no-ops, on two processes. The client's memory is the most that its process ever held.",
    "items",
    (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    (100, 1_000),
    point,
    (Figure("cost", "Cost of an item", "µs", "log"), Figure("memory", "Client's peak memory", "MiB")),
)
