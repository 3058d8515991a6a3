"""On the fleet of threads a crash takes all items of the process along: only the guilty one may be condemned for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import WorkerCrashed
from tests.functions import busy, leave


def work(number: int, *, at: int) -> int:
    busy(0.02)
    return leave(number, at=at)


@pytest.mark.slow
def test_six_items_of_which_one_crashes(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> None:
    start_worker("--pool", "threads", "--queue", "io", slots=6, wait=False, lease_seconds="4")
    start_worker("--pool", "threads", "--queue", "io", slots=6, wait=False, lease_seconds="4")
    start_worker("--pool", "threads", "--queue", "io", slots=6, wait=False, lease_seconds="4")
    start_worker("--pool", "threads", "--queue", "io", slots=6, lease_seconds="4")
    results = connect().batch(work, range(6), kwargs={"at": 2}, fleet="io").gather(return_exceptions=True)
    assert [number for number, result in enumerate(results) if result != number] == [2]
    assert isinstance(results[2], WorkerCrashed)
