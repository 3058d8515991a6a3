"""A worker that died whole: the black boxes in its folder tell the next one on the machine whom it took along."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest

from manycore import Cluster
from manycore.protocol import keys
from manycore.worker.folder import STOPS
from ops.chaos.items import hang_in_c
from tests.functions import note_run
from tests.integration.conftest import Server
from tests.waiting import wait_until

StartWorker = Callable[..., subprocess.Popen[bytes]]
Connect = Callable[..., Cluster]


def waits(number: int, *, folder: str) -> int:
    """Leave a mark, and wait for as long as there is no file of this item that lets it go on."""
    note_run(number, folder=folder)
    while not (Path(folder) / f"go-{number}").exists():
        sleep(0.01)
    return number


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def runs(marks: Path, number: int) -> int:
    path = marks / str(number)
    return len(path.read_text()) if path.exists() else 0


def kill_whole(worker: subprocess.Popen[bytes]) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def test_a_worker_beside_it_blames_what_ran_and_removes_the_folder(
    server: Server, start_worker: StartWorker, connect: Connect, marks: Path, tmp_path: Path
) -> None:
    dying = start_worker()
    connect().batch(waits, range(4), id="b", kwargs={"folder": str(marks)})
    (marks / "go-0").touch()
    wait_until(lambda: runs(marks, 1) == 1, "the second item runs")
    start_worker()
    kill_whole(dying)
    client = server.client()
    wait_until(lambda: client.hexists(keys.strikes("b"), "1"), "its death is counted")
    struck: list[bytes] = client.hkeys(keys.strikes("b"))  # type: ignore[assignment]
    assert [field for field in struck if field.startswith(b"deaths")] == [b"deaths 1"]
    wait_until(lambda: len(list(tmp_path.glob("manycore-worker-*"))) == 1, "the folder of the dead is gone")


def test_what_dies_with_a_worker_that_was_told_to_stop_is_not_to_blame(
    server: Server, start_worker: StartWorker, connect: Connect, marks: Path, tmp_path: Path
) -> None:
    """It was killed before it could say so, as `docker stop` does after ten seconds, or a host that is shut down."""
    stopped = start_worker(lease_seconds="2")
    batch = connect().batch(waits, [1], id="b", kwargs={"folder": str(marks)})
    wait_until(lambda: runs(marks, 1) == 1, "it runs")
    stopped.send_signal(signal.SIGTERM)
    wait_until(lambda: list(tmp_path.glob(f"manycore-worker-*/{STOPS}")), "the stop is marked")
    kill_whole(stopped)
    start_worker(lease_seconds="2")
    wait_until(lambda: runs(marks, 1) == 2, "it runs again")
    struck: list[bytes] = server.client().hkeys(keys.strikes("b"))  # type: ignore[assignment]
    assert not [field for field in struck if field.startswith(b"deaths")]
    (marks / "go-1").touch()
    assert batch.gather() == [1]


def waits_or_hangs(number: int, *, folder: str) -> int:
    """`waits`, but for the first run of item 0: it holds the GIL, and so nothing of its chunk is reported."""
    if number == 0 and not (Path(folder) / "0").exists():
        note_run(number, folder=folder)
        hang_in_c()
    return waits(number, folder=folder)


@pytest.mark.slow
def test_what_had_not_begun_when_its_worker_died_has_died_once_less(
    start_worker: StartWorker, connect: Connect, marks: Path
) -> None:
    """Its chunk ran three times and lost its worker each time, the item but twice: it is no poison yet."""
    cluster = connect()
    first = start_worker(lease_seconds="2")
    batch = cluster.batch(waits_or_hangs, range(2), kwargs={"folder": str(marks)})  # one chunk: there is one slot
    for number, count in ((0, 1), (1, 1), (1, 2)):
        worker = start_worker(lease_seconds="2") if number else first
        wait_until(lambda number=number, count=count: runs(marks, number) == count, "it runs")  # type: ignore[misc]
        kill_whole(worker)
        (marks / "go-0").touch()
    (marks / "go-1").touch()
    start_worker(lease_seconds="2")
    assert batch.gather() == [0, 1]
