"""Cancel means cancel: it reaches what is queued and what runs, survives restarts, and leaves no key behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled
from manycore.protocol import keys
from manycore.protocol.account import Accounts
from tests.functions import busy, hold_the_gil, note_and_wait, note_run, square
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


@pytest.mark.parametrize("function", [busy, hold_the_gil])
def test_terminate_kills_what_runs(
    start_worker: StartWorker, connect: Connect, function: Callable[[float], float]
) -> None:
    """An item that holds the GIL too: its own process cannot look for the flag."""
    start_worker()
    cluster = connect()
    batch = cluster.batch(function, [60.0])
    wait_until(lambda: Probe(cluster).redis.hlen("manycore-unacked"), "it is taken")
    batch.cancel(terminate=True)
    assert cluster.submit(square, 3).result(timeout=20) == 9


def test_what_was_cancelled_can_be_terminated_later(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect()
    batch = cluster.batch(busy, [60.0])
    wait_until(lambda: Probe(cluster).redis.hlen("manycore-unacked"), "it is taken")
    batch.cancel()
    assert batch.wait(5)
    batch.cancel(terminate=True)
    assert cluster.submit(square, 3).result(timeout=20) == 9


def held(number: int, *, folder: str) -> int:
    """Note the run, and wait until there is a file that lets it go on."""
    note_run(number, folder=folder)
    while not (Path(folder) / "go").exists():
        sleep(0.01)
    return number


def test_what_was_terminated_is_not_blamed_when_its_batch_is_run_again(
    start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    """As often as would condemn it."""
    start_worker()
    cluster = connect()
    for count in (1, 2, 3):
        batch = cluster.batch(held, [7], id="again", kwargs={"folder": str(tmp_path)})
        ran = tmp_path / "7"
        wait_until(lambda ran=ran, count=count: ran.exists() and len(ran.read_text()) == count, "it runs")  # type: ignore[misc]
        batch.cancel(terminate=True)
        assert cluster.submit(square, 3).result(timeout=20) == 9, "it was killed: there is one slot"
    (tmp_path / "go").touch()
    assert cluster.batch(held, [7], id="again", kwargs={"folder": str(tmp_path)}).gather() == [7]


def test_terminate_kills_nobody_else(start_worker: StartWorker, connect: Connect, tmp_path: Path) -> None:
    start_worker(slots=2)
    cluster = connect()
    folder = tmp_path / "runs"
    folder.mkdir()
    mine = cluster.batch(note_and_wait, range(40), kwargs={"folder": str(folder), "seconds": 0.05})
    other = cluster.batch(busy, [0.05] * 200)
    wait_until(lambda: other.progress.done and mine.progress.done, "both run")
    other.cancel(terminate=True)
    assert mine.gather() == list(range(40))
    assert {path.read_text() for path in folder.iterdir()} == {"x"}


def test_a_cancel_survives_the_restart_of_all_workers(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    worker = start_worker(lease_seconds="2")
    cluster = connect()
    folder = tmp_path / "runs"
    folder.mkdir()
    batch = cluster.batch(note_and_wait, range(100), kwargs={"folder": str(folder), "seconds": 0.05})
    wait_until(lambda: batch.progress.done, "it runs")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    batch.cancel()
    begun = len(list(folder.iterdir()))
    start_worker(lease_seconds="2")
    assert cluster.submit(square, 3).result(timeout=20) == 9
    client = server.client()
    held = "manycore-unacked"
    wait_until(lambda: not client.hlen(held) and not client.llen("cpu"), "every message of it has come up")
    assert len(list(folder.iterdir())) <= begun + 1  # what ran, in the moment of its kill


def test_a_cancel_from_outside_reaches_what_still_waits(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    """Its client knows of the end at once, and tidies up: the flag stays for the messages that nobody has taken yet."""
    cluster = connect(audit_seconds="0.2")
    client = server.client()
    folder = tmp_path / "runs"
    folder.mkdir()
    batch = cluster.batch(note_and_wait, range(100), kwargs={"folder": str(folder), "seconds": 0.01})
    wait_until(lambda: client.llen("cpu") and Accounts(client).find(batch.id), "it waits, and is listed")
    listed = Accounts(client).find(batch.id)
    assert listed is not None
    Accounts(client).cancel(listed, 3600)
    with pytest.raises(BatchCancelled):
        batch.gather()
    start_worker()
    assert cluster.submit(square, 3).result(timeout=20) == 9
    account = keys.account(batch.id).encode()
    wait_until(lambda: keys_of(server, batch.id) == [account], "every message of it has come up")
    assert not list(folder.iterdir())


def test_a_cancelled_batch_leaves_no_key(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect(audit_seconds="0.2", inline_bytes="0")
    batch = cluster.batch(lambda n: busy(n), [0.05] * 100)
    wait_until(lambda: batch.progress.done, "it runs")
    batch.cancel()
    assert isinstance(batch.gather(return_exceptions=True)[-1], BatchCancelled)
    account = keys.account(batch.id).encode()  # it stays an hour, to be looked at
    wait_until(lambda: keys_of(server, batch.id) == [account], "every key of it but its account is gone")


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_named_batch_can_be_deleted(
    server: Server, start_worker: StartWorker, connect: Connect, cancelled: bool
) -> None:
    start_worker()
    cluster = connect(audit_seconds="0.2")
    batch = cluster.batch(large_and_slow, range(30), id="deleted")
    wait_until(lambda: batch.progress.done, "it runs")
    if not cancelled:
        batch.gather()
    assert keys_of(server, "deleted")
    batch.delete()
    if not cancelled:
        assert not keys_of(server, "deleted")
    wait_until(lambda: not keys_of(server, "deleted"), "every key of it is gone")


def large_and_slow(number: int) -> bytes:
    busy(0.02)
    return bytes(number * 100_000)


def keys_of(server: Server, batch: str) -> list[bytes]:
    found: Any = server.client().keys(f"mc:*{batch}*")
    return list(found)


def test_a_client_that_gives_up_what_is_done_leaves_nothing_of_it(cluster: Cluster) -> None:
    """Workers are told of what is out only: a flag for each client that ends so would stay for a day."""
    client, redis = Probe(cluster).another_client(), Probe(cluster).redis
    assert client.submit(square, 3).result(30) == 9
    stream = Probe(client).submit_stream
    client.shutdown(cancel_futures=True)
    assert not redis.exists(stream, stream.removesuffix(":out").replace("mc:", "mc:batch:"))
