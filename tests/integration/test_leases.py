"""A worker's silence costs a lease, and a long item is never taken for a silent worker's."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.plain import celery_app
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.worker.parent.deliveries import ACKNOWLEDGE
from tests.functions import busy, note_run, worker_pid
from tests.integration.conftest import Server
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
LEASE_SECONDS = 2


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_an_item_longer_than_its_lease_runs_once(start_worker: StartWorker, connect: Connect, runs: Path) -> None:
    """The second worker has nothing to do but to take over what looks lost."""
    for _ in range(2):
        start_worker(lease_seconds=str(LEASE_SECONDS))
    batch = connect(audit_seconds="0.5").batch(lambda n: (note_run(n, folder=str(runs)), busy(5.0)), [7])
    batch.gather()
    assert (runs / "7").read_text() == "x"


@pytest.mark.slow
def test_a_plain_celery_task_longer_than_its_lease_runs_once(
    server: Server, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> None:
    for name, value in {"URL": server.url, "KEY": server.key}.items():
        monkeypatch.setenv(f"MANYCORE_{name}", value)
    for _ in range(2):
        start_worker(lease_seconds=str(LEASE_SECONDS), tasks="tests.functions")
    assert celery_app().send_task("tests.functions.long_task", (str(runs), 5.0)).get(timeout=30) == "done"
    assert (runs / "0").read_text() == "x"


@pytest.mark.parametrize(
    "mutex", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "that held the sweep's mutex"]
)
def test_what_a_killed_host_ran_runs_elsewhere_within_a_lease_and_five_seconds(
    server: Server, start_worker: StartWorker, connect: Connect, runs: Path, mutex: bool
) -> None:
    """All its processes die at once: nobody is left who could give anything back."""
    host = start_worker(lease_seconds=str(LEASE_SECONDS))
    cluster = connect(audit_seconds="3600")
    cluster.batch(lambda n: (note_run(n, folder=str(runs)), busy(60.0)), [1])
    wait_until(lambda: list(runs.iterdir()), "it runs")
    start_worker(lease_seconds=str(LEASE_SECONDS))
    if mutex:
        server.client().set("manycore-unacked-mutex", "a worker that is gone", px=5000)
    theirs = (
        server.client()
    )  # another Celery application on the same database, with kombu's own names and longer leases
    theirs.hset("unacked", "tag", json.dumps([{"body": "e30=", "properties": {}, "headers": {}}, "", "celery"]))
    theirs.zadd("unacked_index", {"tag": 1.0})
    os.killpg(host.pid, signal.SIGKILL)
    wait_until(lambda: (runs / "1").read_text() == "xx", "it runs again", seconds=LEASE_SECONDS + 5)
    assert theirs.zscore("unacked_index", "tag") == 1.0
    assert theirs.hlen("unacked") == 1
    assert not theirs.llen("celery")


@pytest.mark.slow
def test_a_frozen_host_that_wakes_up_does_no_harm(start_worker: StartWorker, connect: Connect) -> None:
    """Its lease is over and others have its work: what it then still delivers is known already."""
    host = start_worker(lease_seconds=str(LEASE_SECONDS))
    cluster = connect(audit_seconds="1")
    batch = cluster.batch(lambda n: (busy(0.01), worker_pid())[1], range(300))
    wait_until(lambda: batch.progress.done, "it runs")
    os.killpg(host.pid, signal.SIGSTOP)
    start_worker(lease_seconds=str(LEASE_SECONDS))
    try:
        assert len(batch.gather()) == 300
    finally:
        os.killpg(host.pid, signal.SIGCONT)
    assert cluster.submit(pow, 2, 3).result(timeout=20) == 8


def test_whoever_lost_a_delivery_does_not_end_that_of_the_next(server: Server) -> None:
    """What is known of its chunk stays: whom it comes to must find that nothing is left."""
    client, resume = server.client(), keys.resume("b")
    client.hset(UNACKED, "theirs", "message")
    client.zadd(UNACKED_INDEX, {"theirs": 1})
    client.hset(resume, "b.1", "0,1,1,0,1,1/ab,")
    names = [UNACKED_INDEX, UNACKED, resume]
    assert ACKNOWLEDGE.run(client, names, ["mine", "b.1"]) == 0
    assert client.hexists(resume, "b.1")
    assert client.hexists(UNACKED, "theirs")
    assert ACKNOWLEDGE.run(client, names, ["theirs", "b.1"]) == 1
    assert not client.exists(resume, UNACKED, UNACKED_INDEX)
