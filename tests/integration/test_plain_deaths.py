"""A plain Celery call that kills its whole worker, on either fleet, ends after three executions, and it alone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from manycore import Cluster
from manycore.errors import WorkerCrashed
from manycore.plain import celery_app
from manycore.protocol.broker import UNACKED_INDEX
from manycore.quarantine import Quarantine
from tests.integration.conftest import Server
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
WAIT_SECONDS = 45
DIES, SLEEPS, DIES_WHILE = (f"tests.functions.{name}" for name in ("ends_badly", "sleeps", "dies_while"))


@pytest.fixture
def app(server: Server, monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setenv("MANYCORE_URL", server.url)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    return celery_app()


def runs(folder: Path, name: str = "0") -> int:
    path = folder / name
    return len(path.read_text()) if path.exists() else 0


def ran(folder: Path, times: int) -> bool:
    return runs(folder, "1") == times


def dead(workers: list[Any], count: int) -> bool:
    return sum(worker.poll() is not None for worker in workers) == count


def end_leases(server: Server) -> None:
    """As if the leases of all deliveries had ended: the next look of a worker restores them."""
    client: Any = server.client()
    for tag in client.zrange(UNACKED_INDEX, 0, -1):
        client.zadd(UNACKED_INDEX, {tag: 0}, xx=True)


POOLS = {"cpu": ("--queue", "cpu"), "io": ("--pool", "threads", "--queue", "io")}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("fleet", "how"), [("cpu", "worker"), ("io", "exit")])
def test_a_call_that_kills_its_whole_worker_ends(
    fleet: str, how: str, server: Server, start_worker: StartWorker, app: Celery, tmp_path: Path
) -> None:
    """Its neighbour, which dies with it once at least, does not: of the suspects one runs at a time."""
    workers = [start_worker(*POOLS[fleet], slots=2, tasks="tests.functions", wait=False) for _ in range(4)]
    innocent = app.send_task(SLEEPS, (str(tmp_path), 1.0), queue=fleet)
    wait_until(lambda: runs(tmp_path, "1") == 1, "the innocent runs")
    guilty = app.send_task(DIES, (str(tmp_path), how), queue=fleet)
    for count in (1, 2, 3):
        wait_until(partial(dead, workers, count), f"death {count}", seconds=30)
        end_leases(server)
    with pytest.raises(WorkerCrashed, match="3 times"):
        guilty.get(timeout=WAIT_SECONDS)
    assert runs(tmp_path) == 3
    assert innocent.get(timeout=WAIT_SECONDS) == "done"
    assert dead(workers, 3)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_call_that_shutdowns_cut_off_is_not_blamed(
    server: Server, start_worker: StartWorker, app: Celery, tmp_path: Path
) -> None:
    """Three workers end under it, and not by its fault: the fourth runs it to its end."""
    call = app.send_task(SLEEPS, (str(tmp_path), 4.0), queue="io")
    for count in (1, 2, 3):
        worker = start_worker(*POOLS["io"], tasks="tests.functions", stop_seconds="0.1", wait=False)
        wait_until(partial(ran, tmp_path, count), f"execution {count}")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 1
    start_worker(*POOLS["io"], tasks="tests.functions")
    assert call.get(timeout=WAIT_SECONDS) == "done"


def test_what_was_condemned_can_be_run_again(
    server: Server, start_worker: StartWorker, app: Celery, tmp_path: Path, connect: Callable[..., Cluster]
) -> None:
    start_worker(tasks="tests.functions")
    flag = tmp_path / "deadly"
    flag.touch()
    with pytest.raises(WorkerCrashed, match=r"signal 9 \(SIGKILL\)"):
        app.send_task(DIES_WHILE, (str(flag),)).get(timeout=WAIT_SECONDS)
    flag.unlink()
    with Quarantine() as quarantine:
        ((poison,),) = quarantine.retryable()
        assert (poison.name, poison.queue, poison.executions) == (DIES_WHILE, "cpu", 3)
        retried = quarantine.retry([poison])
    assert connect().attach(retried.batch).gather() == [0]
