"""An input of a known length may be longer than any memory: to end it early costs no more than one that is short."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled
from tests.functions import fail_on_seven, square

HUGE = 10**15


@pytest.mark.parametrize("items", [range(HUGE), repeat(3, HUGE), range(10**30)], ids=["range", "repeat", "beyond"])
@pytest.mark.parametrize("close", [True, False])
def test_a_map_is_closed_or_dropped(cluster: Cluster, items: Iterable[int], close: bool) -> None:
    results = cluster.map(square, items, chunksize=20)
    assert next(results) in (0, 9)
    if close:
        results.close()
        assert list(results) == []
    del results
    assert cluster.submit(square, 3).result(timeout=30) == 9


def test_an_item_that_fails_ends_a_map(cluster: Cluster) -> None:
    results = cluster.map(fail_on_seven, range(HUGE))
    with pytest.raises(KeyError, match="seven"):
        list(results)
    assert cluster.submit(square, 3).result(timeout=30) == 9


def test_a_batch_is_cancelled_or_halts(cluster: Cluster) -> None:
    batch = cluster.batch(square, range(HUGE))
    assert next(batch.as_completed()).ok
    batch.cancel()
    with pytest.raises(BatchCancelled):
        batch.gather()
    halted = cluster.batch(fail_on_seven, range(HUGE), halt="now,fail=1")
    with pytest.raises(KeyError, match="seven"):
        halted.gather()
    for ended in (batch, halted):
        assert ended.progress.done == HUGE
        assert ended.progress.failed > HUGE / 2


def test_a_cluster_is_left_with_what_waits_cancelled() -> None:
    with Cluster(workers=1) as cluster:
        results = cluster.map(square, range(HUGE))
        batch = cluster.batch(square, range(HUGE))
        assert next(results) == 0
        cluster.shutdown(cancel_futures=True)
    assert batch.wait(20)
    with pytest.raises(BatchCancelled):
        list(results)
