"""Messages that vanish, as in kombu's BRPOP gap: their items are found missing and sent again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from manycore import Cluster
from manycore.errors import WorkerCrashed
from manycore.protocol import keys
from manycore.worker import strikes
from manycore.worker.blackbox import Reading
from manycore.worker.child.claims import CLAIM, SETTLE
from tests.functions import busy, note_and_wait, note_run, square
from tests.integration.conftest import Server
from tests.queues import lists_of, lose, waiting
from tests.waiting import wait_until

Connect = Callable[..., Cluster]


@pytest.mark.slow
def test_a_message_that_vanished_is_sent_again(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    cluster = connect(audit_seconds="0.3")
    batch = cluster.batch(square, range(10_000))
    client = server.client()
    wait_until(lambda: waiting(client, "cpu") == 8, "all chunks are queued")
    lose(client, "cpu", 5)
    start_worker()
    assert batch.gather() == [n * n for n in range(10_000)]


@pytest.mark.slow
def test_everything_vanished_payloads_and_functions_too(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    """What a server without persistence leaves behind when it is killed: nothing."""
    cluster = connect(audit_seconds="0.3", inline_bytes="0")
    batch = cluster.batch(lambda n: n + 1, range(10_000))
    client = server.client()
    wait_until(lambda: waiting(client, "cpu") == 8, "all chunks are queued")
    client.delete(*lists_of("cpu"), *client.keys("mc:*:in:*"), *client.keys("mc:ref:*"))
    start_worker()
    assert batch.gather() == list(range(1, 10_001))


def test_what_is_being_worked_on_is_not_sent_again(
    start_worker: Callable[..., Any], connect: Connect, tmp_path: Path
) -> None:
    start_worker()
    cluster = connect(audit_seconds="0.1")
    folder = tmp_path / "runs"
    folder.mkdir()
    batch = cluster.batch(lambda n: (note_run(n, folder=str(folder)), busy(1.0)), range(2))
    batch.gather()
    assert [(folder / str(n)).read_text() for n in range(2)] == ["x", "x"]


def test_a_lost_call_is_found_while_others_come_and_go(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    """All calls of `submit` are one batch, and that is never silent here."""
    cluster = connect(audit_seconds="0.2")
    client = server.client()
    lost = cluster.submit(square, 7)
    wait_until(lambda: client.lpop("cpu"), "its message is gone")
    start_worker()

    def goes_on() -> bool:
        cluster.submit(square, 1).result(timeout=20)
        return lost.done()

    wait_until(goes_on, "the lost one is found all the same")
    assert lost.result() == 49


def test_junk_in_a_queue_does_not_stop_the_search(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    cluster = connect(audit_seconds="0.2")
    batch = cluster.batch(square, range(10_000))
    client = server.client()
    wait_until(lambda: waiting(client, "cpu") == 8, "all chunks are queued")
    lose(client, "cpu", 1)
    client.rpush("cpu", b"{junk", b"[]", b"{}", b"7", b'{"body": 5}')
    client.hset("manycore-unacked", mapping={"a": b"[", "b": b"[]", "c": b"{}"})
    start_worker()
    assert batch.gather() == [n * n for n in range(10_000)]


def kill(client: redis.Redis, batch: str, *, times: int, runs_in: str = "") -> None:
    """Say that item 4 has killed so often, and that it is under way in a run."""
    for death in range(times):
        strikes.record(client, Reading(f"{batch}.a", 4, f"a/{death}"), "signal 9 (SIGKILL)", 60)
    if runs_in:
        CLAIM.run(client, [keys.strikes(batch), keys.resume(batch)], ["4", runs_in, "", 9, 60, f"{batch}.b"])


def test_two_copies_of_a_message_do_not_run_a_struck_item_at_once(
    server: Server, start_worker: Callable[..., Any], connect: Connect, tmp_path: Path
) -> None:
    """It has killed twice, and runs somewhere: a second copy waits for what becomes of that."""
    folder = tmp_path / "runs"
    folder.mkdir()
    client = server.client()
    kill(client, "copies", times=2, runs_in="b/1")
    batch = connect().batch(note_run, range(10), id="copies", kwargs={"folder": str(folder)})
    start_worker(lease_seconds="2")
    wait_until(lambda: batch.progress.done == 9, "its neighbours are done")
    assert not (folder / "4").exists()
    SETTLE.run(client, [keys.strikes("copies")], ["4", "b/1"])  # the other copy has ended, and its outcome got lost
    assert batch.gather() == list(range(10))
    assert (folder / "4").read_text() == "x"


@pytest.mark.slow
def test_a_struck_item_that_stays_postponed_gets_its_verdict(
    server: Server, start_worker: Callable[..., Any], connect: Connect, tmp_path: Path
) -> None:
    client = server.client()
    kill(client, "unseen", times=2, runs_in="b/1")
    start_worker(lease_seconds="2")
    results = connect().batch(square, range(10), id="unseen").gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, WorkerCrashed)] == [4]


def test_a_condemned_item_that_is_sent_again_does_not_run(
    server: Server, start_worker: Callable[..., Any], connect: Connect, tmp_path: Path
) -> None:
    """Its last message got lost before the verdict was out: the new one is no redelivery, and its deaths count."""
    folder = tmp_path / "runs"
    folder.mkdir()
    batch = connect().batch(note_run, range(10), id="again", kwargs={"folder": str(folder)})
    kill(server.client(), "again", times=3)
    start_worker()
    results = batch.gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != n] == [4]
    assert isinstance(results[4], WorkerCrashed)
    assert sorted(int(path.name) for path in folder.iterdir()) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.slow
def test_a_finished_chunk_whose_acknowledgement_got_lost_runs_nothing_again(
    server: Server, start_worker: Callable[..., Any], connect: Connect, tmp_path: Path
) -> None:
    """Its outcomes are there, and its client has let go of the batch: only its message is still out."""
    folder, client = tmp_path / "runs", server.client()
    folder.mkdir()
    worker = start_worker(lease_seconds="4")
    cluster = connect()
    results = cluster.map(partial(note_and_wait, folder=str(folder), seconds=1.0), [0])
    wait_until(lambda: client.keys("mc:*:resume"), "it runs")
    os.kill(worker.pid, signal.SIGSTOP)  # the parent alone: its child goes on, and nobody acknowledges
    assert list(results) == [0]
    cluster.shutdown()
    os.killpg(worker.pid, signal.SIGKILL)
    start_worker(lease_seconds="4")
    wait_until(lambda: not client.keys("mc:*:resume"), "its record goes with its message", seconds=40)
    assert [path.read_text() for path in folder.iterdir()] == ["x"]
