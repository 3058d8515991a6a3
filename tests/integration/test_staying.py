"""A slot that has ended a call stays for the next of its function, which is handed to it; nothing gets lost by that."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED
from tests.functions import busy, leave, note_run, square, worker_pid
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.queues import messages
from tests.staying import hand_to_a_stopped_slot, nothing_is_left, stay_of_a_slot
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
LEASE_SECONDS = 2


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def cluster(start_worker: StartWorker, connect: Connect) -> Cluster:
    """Of a worker with two slots. No audit sends again what gets lost: that is not what is to be seen here."""
    start_worker(slots=2)
    return connect(audit_seconds="3600")


def test_calls_in_a_row_are_handed_to_one_slot(server: Server, cluster: Cluster) -> None:
    def row() -> int:
        before = messages(server.client())
        pids = {cluster.submit(worker_pid, n).result(timeout=20) for n in range(50)}
        assert len(pids) <= 2
        return messages(server.client()) - before

    wait_until(lambda: row() <= 10, "few of fifty calls went through the queue")
    nothing_is_left(server, cluster)


@pytest.mark.parametrize(
    "limit", [{"max_tasks_per_child": "4"}, {"max_memory_per_child": "1000000000"}], ids=["tasks", "memory"]
)
def test_a_worker_that_replaces_its_processes_looks_at_each_after_each_call(
    server: Server, start_worker: StartWorker, connect: Connect, limit: dict[str, str]
) -> None:
    start_worker(slots=2, **limit)
    cluster, before = connect(audit_seconds="3600"), messages(server.client())
    assert [cluster.submit(square, n).result(timeout=20) for n in range(20)] == [n * n for n in range(20)]
    assert messages(server.client()) - before >= 20


def test_each_is_counted_in_the_account(server: Server, cluster: Cluster) -> None:
    for n in range(40):
        assert cluster.submit(square, n).result(timeout=20) == n * n
    account = keys.account(Probe(cluster).submit_stream.split(":")[1])
    wait_until(lambda: server.client().hget(account, "done") == b"40", "all are counted")


def test_calls_of_other_functions_and_other_threads_go_their_ways(cluster: Cluster) -> None:
    def call(thread: int) -> list[int]:
        functions: list[Callable[[int], int]] = [square, abs, leave, lambda n: n + thread]
        return [cluster.submit(functions[n % 4], n).result(timeout=30) for n in range(60)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(4)))
    for thread, results in enumerate(found):
        assert results == [[n * n, n, n, n + thread][n % 4] for n in range(60)]


def test_of_a_process_that_dies_as_it_waits_nothing_is_lost_and_nobody_to_blame(
    server: Server, cluster: Cluster
) -> None:
    pid, handed = hand_to_a_stopped_slot(server, cluster)
    os.kill(pid, signal.SIGKILL)
    assert handed.result(timeout=20) != pid
    strikes: Any = server.client().hkeys(keys.strikes(Probe(cluster).submit_stream.split(":")[1]))
    assert not [name for name in strikes if name.startswith(b"deaths")]
    wait_until(lambda: not server.client().exists(UNACKED), "no delivery is left")


def test_a_process_that_sleeps_gets_its_call_when_it_wakes_and_keeps_nobody_else(
    server: Server, cluster: Cluster
) -> None:
    pid, handed = hand_to_a_stopped_slot(server, cluster)
    assert cluster.submit(square, 3).result(timeout=20) == 9
    os.kill(pid, signal.SIGCONT)
    assert handed.result(timeout=20) == pid
    nothing_is_left(server, cluster)


def test_who_stays_is_called_off_once_no_other_slot_is_idle(
    server: Server, cluster: Cluster, connect: Connect, tmp_path: Path
) -> None:
    """So nobody else waits for a slot that has nothing to do."""
    flag, client = tmp_path / "flag", server.client()
    flag.touch()

    def hold(_: int) -> None:
        while flag.exists():
            busy(0.01)

    pid = stay_of_a_slot(server, cluster)
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        held = connect().submit(hold, 0)
        told = iter(lambda: str(monitor.next_command()["command"]).lower(), "")
        assert any(command.startswith("rpush mc:submit-") and ":next:" in command for command in told)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: client.hlen(UNACKED) == 1, "it has left")
    flag.unlink()
    assert held.result(timeout=20) is None
    nothing_is_left(server, cluster)


def test_a_deadly_call_that_follows_others_runs_three_times_and_its_death_is_known(
    cluster: Cluster, runs: Path
) -> None:
    for n in range(20):
        assert cluster.submit(note_run, n, folder=str(runs), at=20).result(timeout=20) == n
    with pytest.raises(WorkerCrashed, match="exit code 3"):
        cluster.submit(note_run, 20, folder=str(runs), at=20).result(timeout=30)
    for n in range(21, 40):
        assert cluster.submit(note_run, n, folder=str(runs), at=20).result(timeout=20) == n
    assert {int(path.name): len(path.read_text()) for path in runs.iterdir()} == {
        n: 3 if n == 20 else 1 for n in range(40)
    }


def test_a_call_whose_worker_dies_whole_runs_elsewhere(
    server: Server, start_worker: StartWorker, connect: Connect, runs: Path
) -> None:
    """It had been handed to a slot there: that worker's lease is the call's."""
    host = start_worker(slots=2, lease_seconds=str(LEASE_SECONDS))
    cluster = connect(audit_seconds="3600")
    _, handed = hand_to_a_stopped_slot(server, cluster)
    os.killpg(host.pid, signal.SIGKILL)
    start_worker(slots=2, lease_seconds=str(LEASE_SECONDS))
    assert handed.result(timeout=30)
    wait_until(lambda: not server.client().exists(UNACKED), "no delivery is left")


def test_a_worker_that_stops_in_the_middle_takes_no_call_along(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    first = start_worker(slots=2)
    cluster = connect(audit_seconds="3600")
    stopped = threading.Event()
    results: list[int] = []

    def call() -> None:
        while not (stopped.is_set() and len(results) % 50 == 0):
            results.append(cluster.submit(square, len(results)).result(timeout=30))

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: len(results) > 20, "calls come back")
    start_worker(slots=2)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    before = len(results)
    wait_until(lambda: len(results) > before + 20, "calls come back from the other worker")
    stopped.set()
    caller.join(60)
    assert results == [n * n for n in range(len(results))]
    nothing_is_left(server, cluster)


def test_connections_may_be_cut_at_any_moment(server: Server, cluster: Cluster, runs: Path) -> None:
    client = server.client()
    for n in range(60):
        if n % 6 == 5:
            client.client_kill_filter(_type="normal", skipme=True)
        assert cluster.submit(note_run, n, folder=str(runs)).result(timeout=30) == n
    assert {int(path.name) for path in runs.iterdir()} == set(range(60))
    assert max(len(path.read_text()) for path in runs.iterdir()) <= 3
    wait_until(lambda: not client.exists(UNACKED), "no delivery is left", seconds=60)


@pytest.mark.parametrize("size", [1, 100_000, 3_000_000], ids=["small", "large", "beside the stream"])
def test_large_values_come_and_go_among_them(server: Server, cluster: Cluster, size: int) -> None:
    for n in range(12):
        data = bytes([n]) * (size if n % 3 == 2 else 1)
        assert cluster.submit(bytes.upper, data).result(timeout=20) == data.upper()
        assert cluster.submit(bytes, len(data)).result(timeout=20) == bytes(len(data))
    wait_until(lambda: not server.client().exists(UNACKED), "no delivery is left")


def test_what_fails_fails_alone(server: Server, cluster: Cluster) -> None:
    def odd(n: int) -> int:
        if n % 3 == 1:
            raise ValueError(n)
        if n % 3 == 2:
            raise SystemExit(n)
        return n

    for n in range(30):
        error = cluster.submit(odd, n).exception(timeout=20)
        assert (None if error is None else type(error).__name__) == [None, "ValueError", "SystemExit"][n % 3]
    nothing_is_left(server, cluster)
