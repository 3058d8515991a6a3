"""Cost against slots: sleeping items, so that as many processes as one likes fit a small machine."""

from __future__ import annotations

from time import perf_counter

from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import nap
from manycore import Cluster

ITEMS_A_SLOT = 3
SECONDS = 1.0


def point(slots: int) -> dict[str, float]:
    """Three items a slot, on a local cluster of so many processes, all of which have worked before."""
    with Cluster(workers=slots) as cluster:
        cluster.batch(nap, [SECONDS / 4] * 2 * slots).gather()
        costs = [SECONDS] * ITEMS_A_SLOT * slots
        start = perf_counter()
        assert cluster.batch(nap, costs).gather() == costs
        return {"efficiency": ITEMS_A_SLOT * SECONDS / (perf_counter() - start)}


STUDY = Study(
    "slots",
    "Three items a process that sleep for a second each. Efficiency is three seconds over the wall time.",
    "processes",
    (2, 4, 8, 16, 32, 64, 128),
    (2, 3),
    point,
    (Figure("efficiency", "Sleeping items of 1 s", "ideal / wall"),),
)
