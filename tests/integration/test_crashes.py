"""Processes that die: the item that kills its worker is named, everything else gets done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import LocalClusterFailed, WorkerCrashed
from manycore.local.supervisor import MAX_FAILED_STARTS
from tests.functions import busy, leave, note_run, parent_pid, square, worker_pid
from tests.integration.conftest import ROOT
from tests.probe import Probe
from tests.waiting import wait_until


@pytest.mark.parametrize(("how", "cause"), [("exit", "exit code 3"), ("kill", "SIGKILL"), ("crash", "SIGSEGV")])
def test_an_item_that_kills_its_worker_takes_nobody_along(cluster: Cluster, how: str, cause: str) -> None:
    results = cluster.batch(leave, range(100), kwargs={"at": 40, "how": how}).gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != n] == [40]
    assert isinstance(results[40], WorkerCrashed)
    assert cause in str(results[40])


def test_an_item_that_ends_its_process_group_takes_nobody_along(cluster: Cluster) -> None:
    """As who ends a program it has started does: by `os.killpg(os.getpgid(started.pid), ...)`."""
    results = cluster.batch(lambda n: os.killpg(0, signal.SIGTERM) if n == 4 else n, range(10)).gather(True)
    assert [n for n, result in enumerate(results) if result != n] == [4]
    assert isinstance(results[4], WorkerCrashed)
    assert "SIGTERM" in str(results[4])


def test_a_deadly_item_runs_three_times_and_no_neighbour_more_often(cluster: Cluster, tmp_path: Path) -> None:
    batch = cluster.batch(note_run, range(60), kwargs={"folder": str(tmp_path), "at": 20})
    batch.gather(return_exceptions=True)
    runs = {int(path.name): len(path.read_text()) for path in tmp_path.iterdir()}
    assert runs[20] == 3
    assert max(runs.values()) <= 3


def note_slow_run(number: int, *, folder: str, slow: int, at: int) -> int:
    """Take longer with one item than suspects are looked for by time; end the whole worker on another."""
    busy(3.0 if number == slow else 0.0)
    return note_run(number, folder=folder, at=at, how="worker")


@pytest.mark.slow
def test_an_item_that_kills_the_whole_worker_runs_three_times(tmp_path: Path) -> None:
    # One slot: an item beside it in the same worker would die with it each time, and nobody could tell them apart.
    with Cluster(workers=1) as cluster:
        batch = cluster.batch(note_slow_run, range(30), kwargs={"folder": str(tmp_path), "slow": 9, "at": 10})
        results = batch.gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != n] == [10]
    assert isinstance(results[10], WorkerCrashed)
    assert "its whole worker died with it" in str(results[10])
    runs = {int(path.name): len(path.read_text()) for path in tmp_path.iterdir()}
    assert runs.pop(10) == 3
    assert max(runs.values()) <= 3


def test_submit_survives_a_deadly_neighbour(cluster: Cluster) -> None:
    futures = [cluster.submit(leave, n, at=5) for n in range(20)]
    assert [future.result(timeout=30) for n, future in enumerate(futures) if n != 5] == [n for n in range(20) if n != 5]
    with pytest.raises(WorkerCrashed):
        futures[5].result(timeout=30)


def test_an_item_that_takes_too_much_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_MAX_ITEM_MEMORY", str(100 << 20))
    with Cluster(workers=1) as cluster:
        results = cluster.batch(lambda n: len(bytes(n << 20)), [1, 500, 2]).gather(return_exceptions=True)
    assert (results[0], results[2]) == (1 << 20, 2 << 20)
    assert isinstance(results[1], MemoryError)


def test_children_killed_at_random_lose_nothing() -> None:
    with Cluster(workers=2) as cluster:
        batch = cluster.batch(busy, [0.01] * 400)
        for _ in range(4):
            before = batch.progress.done
            wait_until(lambda before=before: batch.progress.done > before, "the batch goes on")  # type: ignore[misc]
            wait_until(lambda: _kill_one(_children(cluster)), "a child is killed")
        assert batch.gather() == [0.01] * 400


@pytest.mark.slow
def test_a_worker_parent_that_is_killed_is_started_again() -> None:
    with Cluster(workers=2) as cluster:
        parent = cluster.submit(parent_pid).result(timeout=30)
        batch = cluster.batch(busy, [0.02] * 200)
        wait_until(lambda: batch.progress.done, "the batch is under way")
        os.kill(parent, signal.SIGKILL)
        assert batch.gather() == [0.02] * 200
        assert cluster.submit(parent_pid).result(timeout=30) != parent


@pytest.mark.slow
def test_a_worker_that_did_start_is_started_again_however_short_it_lived() -> None:
    with Cluster(workers=1) as cluster:
        for _ in range(MAX_FAILED_STARTS + 1):
            os.kill(cluster.submit(parent_pid).result(timeout=40), signal.SIGKILL)
        assert cluster.submit(abs, -1).result(timeout=40) == 1


def test_a_worker_that_cannot_stay_alive_is_a_clear_error() -> None:
    with Cluster(workers=1) as cluster:
        future = cluster.submit(busy, 60)
        wait_until(lambda: future.done() or _kill_all(_workers(cluster)), "it is given up")
        with pytest.raises(LocalClusterFailed, match="worker"):
            future.result(timeout=30)


@pytest.mark.parametrize("forked", ["", "if os.fork() == 0: sys.stdin.read(); os._exit(0)\n"], ids=["", "forked"])
def test_a_killed_client_leaves_no_process_and_no_file(forked: str, tmp_path: Path) -> None:
    """Nor does one whose forked child lives on, with all that it inherited."""
    script = (
        "import os, sys, time\n"
        "from manycore import Cluster\n"
        "cluster = Cluster(workers=2)\n"
        f"{forked}"
        "print(cluster.submit(abs, 1).result(), cluster._session.local.process_id, flush=True)\n"
        "time.sleep(60)\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], env=env, **pipes) as client:
        assert client.stdout is not None
        supervisor = int(client.stdout.readline().split()[1])
        processes = {supervisor, *_descendants(supervisor)}
        assert len(processes) == 6  # keeper, supervisor, server, worker, two children
        client.kill()
        wait_until(lambda: not any(map(_alive, processes)), "every process is gone", seconds=10)
        wait_until(lambda: not list(tmp_path.iterdir()), "every file is gone", seconds=10)


def test_a_killed_supervisor_takes_its_processes_along(cluster: Cluster) -> None:
    with Cluster(workers=1) as doomed:
        doomed.submit(worker_pid).result(timeout=30)
        supervisor = Probe(doomed).local.process_id
        processes = {supervisor, *_descendants(supervisor)}
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not any(map(_alive, processes)), "every process is gone", seconds=10)
        with pytest.raises(LocalClusterFailed):
            doomed.submit(square, 1).result(timeout=30)


def test_two_clusters_share_nothing(cluster: Cluster) -> None:
    with Cluster(workers=1) as other:
        assert other.submit(parent_pid).result(timeout=30) != cluster.submit(parent_pid).result(timeout=30)
        assert Probe(other).address != Probe(cluster).address
    assert cluster.submit(square, 3).result(timeout=10) == 9


def _kill_all(processes: list[int]) -> bool:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return False


def _kill_one(processes: list[int]) -> bool:
    """Whether one has been: of these, the last one killed may be gone by now."""
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def _workers(cluster: Cluster) -> list[int]:
    local = Probe(cluster).local
    assert local is not None
    found = [pid for pid in _descendants(local.process_id) if _name(pid) == b"manycore-worker"]
    forked = {child for pid in found for child in _children_of(pid)}  # they have the name of their parent
    return [pid for pid in found if pid not in forked]


def _children(cluster: Cluster) -> list[int]:
    return [child for worker in _workers(cluster) for child in _children_of(worker)]


def _descendants(pid: int) -> list[int]:
    return [one for child in _children_of(pid) for one in (child, *_descendants(child))]


def _children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().strip()
    except OSError:
        return b""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
