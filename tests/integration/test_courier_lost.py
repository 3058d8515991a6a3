"""A courier's thread that meets an error goes on, and one that has died is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from manycore import Cluster
from manycore.worker.child import courier
from manycore.worker.child.rhythm import Rhythm
from tests.functions import note_and_wait, square
from tests.waiting import wait_until

ITEMS = 500


def without_memory(_: int, *, dies: bool) -> None:
    """Let the courier of this process find no memory for its next pause, nor for what follows an error if it `dies`."""
    met, patch = threading.Event(), pytest.MonkeyPatch()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "manycore-courier")

    def fails(*_: Any) -> NoReturn:
        patch.undo()
        if dies and not met.is_set():
            patch.setattr(courier, "sleep", fails)
        met.set()
        raise MemoryError

    patch.setattr(Rhythm, "pause", fails)
    assert met.wait(10)
    if dies:
        thread.join(10)


@pytest.mark.parametrize("dies", [False, True])
def test_the_batch_after_one_that_left_a_courier_no_memory_is_cancelled_as_any_other(
    dies: bool, start_worker: Callable[..., Any], connect: Callable[..., Cluster], tmp_path: Path
) -> None:
    start_worker()
    cluster, folder = connect(), tmp_path / "runs"
    folder.mkdir()
    assert cluster.batch(without_memory, [0], kwargs={"dies": dies}).gather() == [None]
    batch = cluster.batch(note_and_wait, range(ITEMS), kwargs={"folder": str(folder), "seconds": 0.02})
    wait_until(lambda: any(folder.iterdir()), "it runs")
    batch.cancel()
    assert cluster.submit(square, 3).result(timeout=30) == 9
    assert len(list(folder.iterdir())) < ITEMS
