"""Signals that end processes: what a worker ran as it was stopped runs again elsewhere, and is blamed for nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster, task
from manycore.errors import InitializerFailed, WorkerCrashed
from manycore.plain import celery_app
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from tests.functions import note_run, square
from tests.integration.conftest import Server
from tests.waiting import wait_until


@task(name="tests.stopped.hold")
def hold(number: int, *, folder: str) -> int:
    """Note the run, then be busy until the file `go` is there, whatever is raised meanwhile."""
    note_run(number, folder=folder)
    while not (Path(folder) / "go").exists():
        try:
            square(number)
        except BaseException:
            continue
    return number


def runs(folder: Path, number: int) -> int:
    return len((folder / str(number)).read_text()) if (folder / str(number)).exists() else 0


def quit_at_once(worker: Any) -> None:
    """As Ctrl-C twice does."""
    worker.send_signal(signal.SIGQUIT)


def stop_all(worker: Any) -> None:
    """As systemd, Slurm and a terminal do."""
    os.killpg(worker.pid, signal.SIGTERM)


def stop_for_long(worker: Any) -> None:
    worker.send_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("stop", [quit_at_once, stop_all, stop_for_long])
def test_what_a_worker_ran_as_it_was_stopped_is_run_again_and_not_blamed(
    stop: Callable[[Any], None],
    server: Server,
    start_worker: Callable[..., Any],
    connect: Callable[..., Cluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An item and a plain call, as often as would condemn them."""
    folder, tasks = tmp_path / "runs", "tests.integration.test_stopped_workers"
    folder.mkdir()
    item = connect(url=server.url).submit(hold, 1, folder=str(folder))
    call = celery_app().send_task("tests.stopped.hold", (2,), {"folder": str(folder)}, queue="cpu")
    for count in (1, 2, 3):
        worker = start_worker(slots=2, tasks=tasks, stop_seconds="1" if stop is stop_for_long else "30")
        wait_until(lambda count=count: runs(folder, 1) == runs(folder, 2) == count, "both run")  # type: ignore[misc]
        stop(worker)
        worker.wait(timeout=30)
    (folder / "go").touch()
    start_worker(slots=2, tasks=tasks)
    assert (item.result(timeout=30), call.get(timeout=30)) == (1, 2)


def test_what_outlasts_a_stop_is_back_in_its_queue_as_the_worker_ends(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster], tmp_path: Path
) -> None:
    """No sweep finds a lease that is over, as of a worker that was silent: that rings an alarm."""
    folder, tasks, client = tmp_path / "runs", "tests.integration.test_stopped_workers", server.client()
    folder.mkdir()
    worker = start_worker(tasks=tasks, stop_seconds="0.1")
    item = connect(url=server.url).submit(hold, 1, folder=str(folder))
    wait_until(lambda: runs(folder, 1) == 1, "it runs")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 1
    assert not client.exists(UNACKED, UNACKED_INDEX)
    assert client.llen("cpu") == 1
    (folder / "go").touch()
    start_worker(tasks=tasks)
    assert item.result(timeout=30) == 1


def test_a_hangup_is_told_to_stop(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster], tmp_path: Path
) -> None:
    """What runs ends, and the worker then, by itself: it has no token any more to start again with."""
    folder = tmp_path / "runs"
    folder.mkdir()
    worker = start_worker(tasks="tests.integration.test_stopped_workers")
    item = connect(url=server.url).submit(hold, 1, folder=str(folder))
    wait_until(lambda: runs(folder, 1) == 1, "it runs")
    worker.send_signal(signal.SIGHUP)
    (folder / "go").touch()
    assert item.result(timeout=30) == 1
    assert worker.wait(timeout=30) == 0
    assert runs(folder, 1) == 1


def test_a_worker_whose_starter_ignores_hangups_does(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    """By nohup, or a shell's disown: all of its session is told."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        worker = start_worker()
    finally:
        signal.signal(signal.SIGHUP, before)
    cluster = connect(url=server.url)
    child = cluster.submit(os.getpid).result(timeout=30)
    os.killpg(worker.pid, signal.SIGHUP)
    assert cluster.submit(os.getpid).result(timeout=30) == child
    assert cluster.submit(signal.getsignal, signal.SIGHUP).result(timeout=30) is signal.SIG_IGN


def end(number: int, *, at: int, by: signal.Signals) -> int:
    """End the process by a signal with the item `at`, and catch what can be caught of that."""
    if number == at:
        try:
            os.kill(os.getpid(), by)
        except BaseException:
            return -1
    return number


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_processes_ends_a_worker_process_as_any_death_does(
    cluster: Cluster, by: signal.Signals
) -> None:
    results = cluster.batch(end, range(60), kwargs={"at": 20, "by": by}).gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != n] == [20]
    assert isinstance(results[20], WorkerCrashed)
    assert by.name in str(results[20])


def terminate_itself() -> None:
    end(0, at=0, by=signal.SIGTERM)


def terminate_once(flag: Path) -> None:
    if flag.exists():
        flag.unlink()
        terminate_itself()


def test_an_initializer_whose_process_is_terminated_is_run_again(tmp_path: Path) -> None:
    """And not without end."""
    flag = tmp_path / "flag"
    flag.touch()
    with Cluster(workers=1, initializer=terminate_once, initargs=(flag,)) as cluster:
        assert cluster.submit(square, 3).result(timeout=30) == 9
    with Cluster(workers=1, initializer=terminate_itself) as cluster:
        error = cluster.submit(square, 3).exception(timeout=30)
    assert isinstance(error, InitializerFailed)
    assert "3 times (signal 15 (SIGTERM))" in str(error)


def test_which_signals_end_a_worker_is_not_for_another_project_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMAP_SIGTERM", "SIGQUIT")
    with Cluster(workers=1) as cluster:
        assert cluster.submit(signal.getsignal, signal.SIGTERM).result(timeout=30) is signal.SIG_DFL
        assert cluster.submit(os.getenv, "REMAP_SIGTERM").result(timeout=30) == "SIGQUIT", "items see it"
