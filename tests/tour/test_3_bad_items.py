"""Third stop: bad items. One of them never takes its neighbours along."""

from __future__ import annotations

import os
from pathlib import Path

from manycore import Cluster
from manycore.errors import BatchHalted, ItemTimeout, WorkerCrashed
from tests.functions import busy, fail_first


def test_a_failed_item_can_be_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    batch = cluster.batch(fail_first, range(3), kwargs={"folder": str(tmp_path)}, retries=2, backoff=0.01)
    assert batch.gather() == [2, 2, 2], "each item says at which attempt it came through"


def test_an_item_that_runs_too_long_is_interrupted(cluster: Cluster) -> None:
    short, long = cluster.batch(busy, [0.01, 60], timeout=0.5).gather(return_exceptions=True)
    assert short == 0.01
    assert isinstance(long, ItemTimeout)


def test_an_item_that_kills_its_process_is_put_aside(cluster: Cluster) -> None:
    """It may run three times. The others finish, in new processes."""

    def fragile(number: int) -> int:
        return os._exit(1) if number == 2 else number

    results = cluster.batch(fragile, range(5)).gather(return_exceptions=True)
    assert isinstance(results.pop(2), WorkerCrashed)
    assert results == [0, 1, 3, 4]


def test_too_many_failures_can_end_a_batch_early(cluster: Cluster) -> None:
    batch = cluster.batch(lambda number: 1 // 0, range(100_000), halt="now,fail=3")
    results = batch.gather(return_exceptions=True)
    assert sum(isinstance(result, BatchHalted) for result in results) > 0
