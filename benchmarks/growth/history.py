"""Cost against what was done before: finished batches of one client."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import redis

from benchmarks.growth.stage import open_stage
from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import noop
from manycore import Cluster

TRIPS = 100


def point(batches: int) -> dict[str, float]:
    """After so many finished batches of ten items: a call's round trip, and what the server holds."""
    with open_stage(2) as url, Cluster(url) as cluster, redis.Redis.from_url(url) as server:
        for _ in range(batches):
            assert cluster.batch(noop, range(10)).gather() == list(range(10))
        trips = []
        for item in range(TRIPS):
            start = perf_counter()
            assert cluster.submit(noop, item).result() == item
            trips.append(1e3 * (perf_counter() - start))
        used: Any = server.info("memory")
    return {"trip": median(trips), "server": used["used_memory"] / 2**20}


STUDY = Study(
    "history",
    "After so many finished batches of ten no-ops of the same client: the median round trip of a call, and the memory "
    "of the server (the account of a finished batch stays for an hour).",
    "finished batches",
    (1, 10, 100, 1_000),
    (1, 5),
    point,
    (Figure("trip", "Round trip of a call", "ms"), Figure("server", "Memory of the server", "MiB")),
)
