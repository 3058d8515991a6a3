"""Whether a small batch gets its share beside a huge one of another client."""

from __future__ import annotations

from time import perf_counter, sleep

from benchmarks.growth.stage import open_stage
from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import spin
from manycore import Cluster

SLOTS = 2
ITEM_SECONDS = 0.005
SMALL_ITEMS = 40


def point(items: int) -> dict[str, float]:
    """How long 40 items of 5 ms take while another client's batch of so many more is under way."""
    small = [ITEM_SECONDS] * SMALL_ITEMS
    with open_stage(SLOTS) as url, Cluster(url) as theirs, Cluster(url) as ours:
        assert ours.batch(spin, small).gather() == small
        huge = theirs.batch(spin, [ITEM_SECONDS] * items)
        while huge.progress.done < min(items // 20, 50):
            sleep(0.002)
        start = perf_counter()
        assert ours.batch(spin, small).gather() == small
        seconds = perf_counter() - start
        huge.cancel()
    return {"seconds": seconds}


STUDY = Study(
    "beside",
    "A batch of 40 items of 5 ms, 0.1 s of work for two processes, that begins while another client's batch of so many "
    "such items is under way. With a fair half of the processes it takes 0.2 s.",
    "items of the other client's batch",
    (1_000, 10_000, 100_000, 1_000_000),
    (200,),
    point,
    (Figure("seconds", "A small batch beside a huge one", "s"),),
)
