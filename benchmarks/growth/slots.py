"""Cost against slots: sleeping items, so that as many processes as one likes fit a small machine."""

from __future__ import annotations

from time import perf_counter

from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import nap, process_after_nap
from manycore import Cluster

ITEMS_A_SLOT = 3
SECONDS = 1.0


def point(slots: int) -> dict[str, float]:
    """Three items a slot, on a local cluster of so many processes, all of which have worked before."""
    with Cluster(workers=slots) as cluster:
        _warm(cluster, slots)
        costs = [SECONDS] * ITEMS_A_SLOT * slots
        start = perf_counter()
        assert cluster.batch(nap, costs).gather() == costs
        return {"efficiency": ITEMS_A_SLOT * SECONDS / (perf_counter() - start)}


def _warm(cluster: Cluster, slots: int) -> None:
    """Let every process work. Those of the first calls start while others have worked already."""
    seen: set[int] = set()
    while len(seen) < slots:
        seen |= set(cluster.batch(process_after_nap, [SECONDS] * slots).gather())


STUDY = Study(
    "slots",
    "Three items a process that sleep for a second each. Efficiency is three seconds over the wall time.",
    "processes",
    (2, 4, 8, 16, 32, 64, 128),
    (2, 3),
    point,
    (Figure("efficiency", "Sleeping items of 1 s", "ideal / wall"),),
)
