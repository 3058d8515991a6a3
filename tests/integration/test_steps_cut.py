"""A worker dies whole while all its slots take the same step before their items: the step has died once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from manycore import Batch, Cluster
from manycore.protocol import keys
from manycore.worker import strikes
from manycore.worker.blackbox import SETUP, Reading
from manycore.worker.child.claims import CLAIM
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

SLOTS = 4


def waits(folder: str) -> None:
    """Leave a mark for this process, and wait until there is a file that lets it go on."""
    (Path(folder) / f"by-{os.getpid()}").touch()
    while not (Path(folder) / "go").exists():
        sleep(0.01)


class Waiting:
    """It takes a while to be rebuilt."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __reduce__(self) -> Any:
        return waits, (self._folder,)


def item(number: int, *, beside: object = None) -> int:
    return number


def initialized(cluster: Cluster, folder: str) -> Batch:
    return cluster.batch(item, range(40), id="b", initializer=waits, initargs=(folder,))


def rebuilt(cluster: Cluster, folder: str) -> Batch:
    return cluster.batch(item, range(40), id="b", kwargs={"beside": Waiting(folder)})


@pytest.mark.parametrize("begin", [initialized, rebuilt])
@pytest.mark.parametrize("seen_late", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_all_slots_took_as_their_worker_was_killed_has_killed_once(
    begin: Callable[[Cluster, str], Batch],
    seen_late: bool,
    server: Server,
    start_worker: Callable[..., Any],
    connect: Callable[..., Cluster],
    tmp_path: Path,
) -> None:
    """Where its boxes are `seen_late`, workers of another machine have counted what was claimed."""
    folder, elsewhere = tmp_path / "marks", tmp_path / "elsewhere"
    for made in (folder, elsewhere):
        made.mkdir()
    worker = start_worker(slots=SLOTS, lease_seconds="2")
    batch = begin(connect(), str(folder))
    wait_until(lambda: len(list(folder.iterdir())) == SLOTS, "every slot takes the step")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if seen_late:
        start_worker(slots=SLOTS, lease_seconds="2", run_folder=str(elsewhere))
        wait_until(lambda: len(list(folder.iterdir())) == 2 * SLOTS, "every slot takes the step")
    start_worker(slots=SLOTS, lease_seconds="2")
    wait_until(lambda: len(list(tmp_path.glob("manycore-worker-*"))) == 1, "the boxes of the dead were read")
    struck: Any = server.client().hgetall(keys.strikes("b"))
    assert [len(runs.split()) for field, runs in struck.items() if field.startswith(b"deaths ")] == [1]
    (folder / "go").touch()
    assert batch.gather() == list(range(40))


def test_of_those_that_died_together_the_one_is_blamed_whose_chunk_would_be_as_it_comes_again(cluster: Cluster) -> None:
    store: Any = Probe(cluster).redis
    together = [Reading(f"steps.{run}", SETUP, f"{run}/1", function="f") for run in "abc"]
    assert strikes.known_of(store, together) is None
    CLAIM.run(store, [keys.strikes("steps"), keys.resume("steps")], [together[1].field, "b/1", "", 9, 60, "steps.b"])
    assert strikes.known_of(store, together) is together[1]
    assert strikes.record(store, together[1], "", 60).count == 1
    assert strikes.known_of(store, together) is together[1], "claimed no more, and counted"
