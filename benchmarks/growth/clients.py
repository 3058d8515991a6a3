"""Cost against clients at once, each a process of its own, on one worker of two processes."""

from __future__ import annotations

import os
from multiprocessing import get_context
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.growth.stage import open_stage
from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import spin
from manycore import Cluster

SLOTS = 2
WORK_SECONDS = 8.0
ITEM_SECONDS = 0.005
START_SECONDS = 120


def point(clients: int) -> dict[str, float]:
    """So many clients begin one batch each at the same moment; together always the same work."""
    costs = [ITEM_SECONDS] * max(1, int(WORK_SECONDS / ITEM_SECONDS / clients))
    context = get_context("fork")  # this process has no threads yet
    with open_stage(SLOTS):
        start, times = context.Barrier(clients + 1), context.SimpleQueue()
        processes = [context.Process(target=_client, args=(costs, start, times)) for _ in range(clients)]
        for process in processes:
            process.start()
        start.wait(START_SECONDS)
        took = sorted(times.get() for _ in processes)
        for process in processes:
            process.join()
    ideal = len(costs) * clients * ITEM_SECONDS / SLOTS
    return {"efficiency": ideal / took[-1], "spread": took[-1] / median(took)}


def _client(costs: list[float], start: Any, times: Any) -> None:
    with Cluster(os.environ["MANYCORE_URL"]) as cluster:
        assert cluster.batch(spin, costs[:1]).gather() == costs[:1]
        start.wait(START_SECONDS)
        began = perf_counter()
        assert cluster.batch(spin, costs).gather() == costs
        times.put(perf_counter() - began)


STUDY = Study(
    "clients",
    "So many client processes begin a batch of 5 ms items at the same moment; together always 8 s of work for two "
    "processes. Efficiency is the ideal over the time of the last; the spread is the last over the median.",
    "clients",
    (1, 2, 5, 10, 20, 50, 100),
    (1, 2),
    point,
    (Figure("efficiency", "Clients at once", "ideal / wall"), Figure("spread", "Last / median client", "times")),
)
