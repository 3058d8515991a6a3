"""A worker of threads: items side by side in one process, none of which can stop another."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster, task
from manycore.errors import ItemTimeout
from tasks.hashing import sha256_of
from tests.functions import fail_on_seven
from tests.integration.conftest import Server
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
THREADS = 4
meeting = threading.Barrier(THREADS)
MANY = 16
crowd = threading.Barrier(MANY)


@pytest.fixture
def fleet(start_worker: StartWorker, connect: Connect) -> Cluster:
    start_worker("--pool", "threads", "--queue", "io", slots=THREADS, tasks="tasks.hashing")
    return connect()


@task(fleet="io")
def wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(fleet="io")
def meet(_: Any) -> int:
    meeting.wait(20)
    return os.getpid()


@task(fleet="io")
def meet_all(_: Any) -> int:
    crowd.wait(20)
    return os.getpid()


@task(fleet="io")
def spin(_: Any) -> None:
    while True:
        pass


@task(fleet="io")
def fail(number: int) -> int:
    return fail_on_seven(number)


@task(fleet="io")
def note(number: int, *, folder: str) -> int:
    with (Path(folder) / str(number)).open("a") as file:
        file.write("x")
    time.sleep(0.02)
    return number


def test_waiting_items_share_a_process(fleet: Cluster) -> None:
    """None goes on before the others are there, in the same process."""
    assert len(set(fleet.batch(meet, range(4 * THREADS)).gather())) == 1


def test_a_lazy_input_is_sized_by_its_own_fleet(start_worker: StartWorker, connect: Connect) -> None:
    """One slot of the other would have six of its items at work, and none of them would go on."""
    start_worker("--queue", "cpu", slots=1)
    start_worker("--pool", "threads", "--queue", "io", slots=MANY)
    assert len(set(connect().batch(meet_all, iter(range(MANY))).gather())) == 1


def test_a_task_of_the_fleet_gives_the_answers_of_the_plain_function(fleet: Cluster, tmp_path: Path) -> None:
    paths = [tmp_path / f"file{n}" for n in range(100)]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
    digests = list(fleet.map(sha256_of, map(str, paths)))
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_ten_thousand_items_each_have_their_own_outcome(fleet: Cluster) -> None:
    outcomes = fleet.batch(fail, range(10_000), id="io").gather(return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if outcome != n] == [7]
    assert isinstance(outcomes[7], KeyError)


def test_a_time_limit_ends_an_item_and_no_other(fleet: Cluster) -> None:
    slow = fleet.batch(spin, range(2), timeout=0.3)
    neighbours = fleet.batch(wait, [0.05] * 20)
    assert neighbours.gather() == [0.05] * 20
    results = slow.gather(return_exceptions=True)
    assert [type(result) for result in results] == [ItemTimeout, ItemTimeout]
    assert fleet.submit(wait, 0.01).result(timeout=20) == 0.01


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_stop_in_mid_batch_loses_and_repeats_nothing(
    pool: str, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    worker = start_worker("--pool", pool, "--queue", "io", slots=2)
    batch = connect().batch(note, range(300), kwargs={"folder": str(folder)})
    wait_until(lambda: batch.progress.done > 20, "the batch is under way")
    worker.terminate()
    worker.wait(10)
    assert len(list(folder.iterdir())) < 300, "it ended before the batch did"
    start_worker("--pool", pool, "--queue", "io", slots=2)
    assert batch.gather() == list(range(300))
    assert {path.read_text() for path in folder.iterdir()} == {"x"}


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_outlasts_the_stop_is_run_again_at_once(
    pool: str, server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    worker = start_worker("--pool", pool, "--queue", "io", slots=1, stop_seconds="0.5", lease_seconds="60")
    future = connect().submit(wait, 3.0)
    client = server.client()
    wait_until(lambda: client.hlen("manycore-unacked") and not client.llen("io"), "the item runs")
    worker.terminate()
    worker.wait(30)
    start_worker("--pool", pool, "--queue", "io", slots=1, lease_seconds="60")
    assert future.result(timeout=25) == 3.0
