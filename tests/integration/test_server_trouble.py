"""The server is full, becomes a replica, is stopped or restarted: it is waited for, and nothing is lost."""

from __future__ import annotations

import logging
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis

from manycore import Cluster
from manycore.errors import ConnectionFailed, ServerFull
from manycore.plain import celery_app
from tests.functions import busy, sleeps, square
from tests.integration.conftest import Server
from tests.integration.troubles import demoted, full, stopped, without_replicas
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


@contextmanager
def without_disk(server: Server, folder: Path) -> Iterator[None]:
    """MISCONF: the last snapshot failed, and the server takes no writes; it does not even answer a PING."""
    client = server.client()
    (folder / "server" / "dump.rdb").mkdir()  # a folder in the snapshot's place
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot fails")
    try:
        yield
    finally:
        client.config_set("save", "")


@contextmanager
def loading(server: Server) -> Iterator[None]:
    """LOADING: it was killed, and is back on its port with much to load. Ends once it answers again."""
    client = server.client()
    client.mset({f"kept-{number}": "x" * 1_000 for number in range(2_000)})
    client.config_set("appendonly", "yes")
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "all is written down")
    server.process.kill()
    server.process.wait()
    slowly = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]
    command = [*map(str, server.process.args), "--appendonly", "yes", *slowly]  # type: ignore[arg-type]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as again:
        try:
            wait_until(lambda: says_loading(server), "it says so")
            yield
        finally:
            again.kill()


def says_loading(server: Server) -> bool:
    try:
        return not server.client().ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False


def test_a_server_that_is_loading_is_waited_for(
    server: Server, start_worker: StartWorker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    start_worker(lease_seconds="2")
    cluster = connect(audit_seconds="0.5")
    batch = cluster.batch(busy, [0.01] * 200)
    wait_until(lambda: batch.progress.done, "it runs")
    with caplog.at_level(logging.WARNING), loading(server):
        future = cluster.submit(square, 5)
        wait_until(lambda: "loading" in caplog.text, "the client has met it")
        assert future.result(timeout=40) == 25
        assert batch.gather() == [0.01] * 200
        cluster.shutdown()


def test_the_object_of_a_ref_is_waited_for_but_not_for_ever(server: Server, connect: Connect) -> None:
    ref = connect(connection_seconds="20").put(b"kept")
    brief = connect(connection_seconds="0.2").put(b"as brief")
    with loading(server):
        assert ref.get() == b"kept"
    with pytest.raises(ConnectionFailed):
        brief.get()


@pytest.mark.parametrize("trouble", [without_replicas, without_disk])
def test_a_server_that_refuses_writes_is_waited_for(
    trouble: Callable[[Server, Path], Any],
    server: Server,
    start_worker: StartWorker,
    connect: Connect,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = connect()
    start_worker()
    assert cluster.submit(abs, -1).result(timeout=30) == 1
    with trouble(server, tmp_path), caplog.at_level(logging.WARNING):
        future = cluster.submit(abs, -2)
        wait_until(lambda: "waiting for it" in caplog.text, "the client has met it")
        with pytest.raises(ConnectionFailed, match=r"NOREPLICAS|MISCONF"):
            cluster.batch(abs, [1], id="begun-in-trouble")
    assert future.result(timeout=30) == 2
    assert cluster.submit(abs, -3).result(timeout=30) == 3


def test_what_a_full_server_does_not_take_is_refused(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    cluster = connect(connection_seconds="0.3")
    start_worker()
    assert cluster.submit(square, 2).result(timeout=20) == 4
    with full(server):
        with pytest.raises(ServerFull, match="refuses new work"):
            cluster.submit(square, 3).result(timeout=20)
        with pytest.raises(ServerFull):
            cluster.batch(square, range(10), id="no-room")
    assert cluster.submit(square, 4).result(timeout=20) == 16


@pytest.mark.parametrize("trouble", [full, demoted, stopped], ids=lambda trouble: trouble.__name__)
def test_a_batch_outlasts_the_trouble(
    server: Server,
    start_worker: StartWorker,
    connect: Connect,
    trouble: Callable[[Server], Any],
) -> None:
    start_worker(slots=2, lease_seconds="2")
    cluster = connect(audit_seconds="0.5")
    batch = cluster.batch(busy, [0.01] * 400)
    wait_until(lambda: batch.progress.done, "it runs")
    with trouble(server):
        future = cluster.submit(square, 5)
        assert not batch.wait(1.5)
    assert future.result(timeout=40) == 25
    assert batch.gather() == [0.01] * 400


def test_the_trouble_is_said_and_its_end_too(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = connect()
    cluster.submit(square, 1)
    with caplog.at_level(logging.WARNING), demoted(server):
        cluster.submit(square, 1)
        wait_until(lambda: "The server is away" in caplog.text, "it is said")
    wait_until(lambda: "The server is back" in caplog.text, "that too is said")
    wait_until(lambda: server.client().llen("cpu"), "it goes on")


@pytest.mark.slow
def test_a_client_of_a_server_that_hangs_can_be_closed(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    cluster = connect()
    batch = cluster.batch(busy, [0.01] * 1000)
    wait_until(lambda: batch.progress.done, "it runs")
    began = monotonic()
    with stopped(server):
        cluster.shutdown(cancel_futures=True)
        Probe(cluster).close_now()
    assert monotonic() - began < 15


def test_a_server_that_stays_away_is_an_error(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect(connection_seconds="1")
    batch = cluster.batch(busy, [0.01] * 1000)
    wait_until(lambda: batch.progress.done, "it runs")
    server.process.kill()
    with pytest.raises(ConnectionFailed):
        batch.gather()


PUT_BACK = """redis.call('del', KEYS[2]) return redis.call('rpush', KEYS[1], ARGV[1])"""
"""A full server runs the script of one that has begun to write to its end; deleting nothing is a write, and allowed."""


def test_a_message_that_a_full_server_cannot_record_stays_where_it_is(
    server: Server, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Plain Celery calls have no client that would send them again."""
    for name, value in {"URL": server.url, "KEY": server.key}.items():
        monkeypatch.setenv(f"MANYCORE_{name}", value)
    client = server.client()
    app = celery_app()
    result = app.send_task("tasks.primes.count_primes", (0, 1000))
    message: Any = client.lpop("cpu")
    start_worker(tasks="tasks.primes")
    assert app.send_task("tasks.primes.count_primes", (0, 10)).get(timeout=20) == 4  # it has started altogether
    with full(server):
        client.eval(PUT_BACK, 2, "cpu", "nothing", message)
        wait_until(lambda: b"Messages stay where they are" in log_of_worker(tmp_path), "the worker has met it")
        assert client.llen("cpu") == 1
    assert result.get(timeout=20) == 168
    wait_until(lambda: not client.hlen("manycore-unacked"), "it is acknowledged")


def test_a_worker_that_starts_on_a_full_server_waits_for_room(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    future = connect().submit(square, 3)
    client = server.client()
    wait_until(lambda: client.llen("cpu"), "it is sent")
    with full(server):
        worker = start_worker(wait=False)
        wait_until(lambda: client.info("clients")["connected_clients"] > 4, "the worker has connected")
    assert future.result(timeout=20) == 9
    assert worker.poll() is None


def log_of_worker(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*.log"))


@contextmanager
def killed(server: Server) -> Iterator[None]:
    server.process.kill()
    server.process.wait()
    yield


@pytest.mark.parametrize("away", [killed, stopped])
@pytest.mark.parametrize("runs", [True, False])
def test_a_worker_that_is_told_to_stop_meanwhile_keeps_its_time(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path, away: Any, runs: bool
) -> None:
    """What runs may take for ever, and so may the server. A lost connection stops Celery's consumer: that is no end."""
    begun = tmp_path / "begun"
    begun.mkdir()
    worker, log = start_worker(stop_seconds="0.5"), next(tmp_path.glob("test0*.log"))
    cluster = connect()
    assert cluster.submit(abs, -1).result(timeout=20) == 1
    if runs:
        cluster.submit(sleeps, str(begun), 600)
        wait_until(lambda: list(begun.iterdir()), "it runs")
    with away(server):
        if away is killed:
            wait_until(lambda: "Trying again" in log.read_text(), "the worker has lost its connection")
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=15)
