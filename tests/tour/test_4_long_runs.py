"""Fourth stop: long runs. A batch with an id outlives its client, and an unwanted one ends when you say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled, BatchChanged
from tests.functions import busy, square


def test_cancel_ends_what_is_not_done(cluster: Cluster) -> None:
    batch = cluster.batch(busy, [0.05] * 1000)
    batch.cancel()
    assert isinstance(batch.gather(return_exceptions=True)[-1], BatchCancelled)


def test_the_same_batch_again_runs_only_what_is_missing(cluster: Cluster) -> None:
    first = cluster.batch(square, range(100), id="tour-nightly")
    assert first.gather() == cluster.batch(square, range(100), id="tour-nightly").gather()
    with pytest.raises(BatchChanged, match="input"):
        cluster.batch(square, range(200), id="tour-nightly")
    first.delete()


def test_another_client_can_gather_it(start_worker: Callable[..., object], connect: Callable[..., Cluster]) -> None:
    """Handed over, it needs no client at all: the first one could end here."""
    start_worker()
    first, second = connect(), connect()
    name = first.batch(square, range(100), id="handed-over").detach(timeout=20)
    assert second.attach(name).gather() == [number * number for number in range(100)]
