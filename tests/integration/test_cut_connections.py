"""A connection that is cut costs no execution: what runs goes on, keeps its lease, and ends by the next connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis import Redis

from manycore import Cluster
from manycore.plain import celery_app
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from tests.functions import leave
from tests.held import run_until_told
from tests.integration.conftest import Server
from tests.integration.troubles import stopped, without_replicas
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
LEASE_SECONDS = 2
CUTS = 3
"""As many as executions that are not seen to end condemn an item."""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def cut(server: Server, again: Callable[[], object]) -> None:
    """Cut all connections, often, each time that the worker has come back."""
    with server.client() as client:
        for _ in range(CUTS):
            client.client_kill_filter(_type="normal", skipme=True)
            again()


def test_an_item_that_runs_through_cut_connections_runs_once(
    server: Server, start_worker: StartWorker, connect: Connect, runs: Path
) -> None:
    for _ in range(2):  # another one that would take what is put back
        start_worker(slots=2, lease_seconds=str(LEASE_SECONDS))
    cluster = connect(audit_seconds="0.5")
    batch = cluster.batch(run_until_told, [7], kwargs={"folder": str(runs)})
    wait_until(lambda: (runs / "7").exists(), "it runs")
    cut(server, lambda: [cluster.submit(pow, 2, n).result(timeout=60) for n in range(8)])
    outlast_a_lease(server)
    (runs / "go").touch()
    assert batch.gather() == [7]
    assert (runs / "7").read_text() == "x"
    assert not server.client().exists(keys.strikes(batch.id))
    wait_until(lambda: not held(server.client()), "its message is acknowledged")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [stopped, without_replicas])
def test_where_nobody_can_renew_a_lease_none_is_over(
    server: Server,
    start_worker: StartWorker,
    connect: Connect,
    runs: Path,
    trouble: Callable[[Server], AbstractContextManager[None]],
) -> None:
    """All are, by the clock: whoever looks first would take what the others run."""
    for _ in range(2):
        start_worker(slots=2, lease_seconds=str(LEASE_SECONDS))
    batch = connect(audit_seconds="3600").batch(run_until_told, [7, 8], kwargs={"folder": str(runs)})
    wait_until(lambda: (runs / "7").exists() and (runs / "8").exists(), "they run")
    began = monotonic()
    with trouble(server):
        wait_until(lambda: monotonic() - began > 3 * LEASE_SECONDS, "their leases are over")
    outlast_a_lease(server)
    assert [(runs / name).read_text() for name in "78"] == ["x", "x"]
    (runs / "go").touch()
    assert batch.gather() == [7, 8]


def test_a_plain_call_that_runs_through_cut_connections_runs_once(
    server: Server, start_worker: StartWorker, connect: Connect, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> None:
    for name, value in {"URL": server.url, "KEY": server.key}.items():
        monkeypatch.setenv(f"MANYCORE_{name}", value)
    start_worker(slots=2, lease_seconds=str(LEASE_SECONDS), tasks="tests.held")
    call = celery_app().send_task("tests.held.held_task", (str(runs),))
    wait_until(lambda: (runs / "0").exists(), "it runs")
    cluster = connect()
    cut(server, lambda: [cluster.submit(pow, 2, n).result(timeout=60) for n in range(4)])
    outlast_a_lease(server)
    (runs / "go").touch()
    assert call.get(timeout=30) == 0
    assert (runs / "0").read_text() == "x"
    wait_until(lambda: not held(server.client()), "its message is acknowledged")


def test_a_plain_call_that_ends_as_the_server_takes_no_writes_has_ended(
    server: Server, start_worker: StartWorker, connect: Connect, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> None:
    """After a cut: of the connection by which it came nobody speaks any more."""
    for name, value in {"URL": server.url, "KEY": server.key}.items():
        monkeypatch.setenv(f"MANYCORE_{name}", value)
    start_worker(slots=2, lease_seconds=str(LEASE_SECONDS), tasks="tests.held")
    celery_app().send_task("tests.held.held_task", (str(runs),), ignore_result=True)
    wait_until(lambda: (runs / "0").exists(), "it runs")
    cut(server, lambda: connect().submit(pow, 2, 3).result(timeout=60))
    with without_replicas(server):
        (runs / "go").touch()
        outlast_a_lease(server)
    wait_until(lambda: not held(server.client()), "its message is acknowledged")
    assert (runs / "0").read_text() == "x"


def test_what_dies_after_a_cut_comes_again_at_once(
    server: Server, start_worker: StartWorker, connect: Connect, runs: Path
) -> None:
    """Not when its lease, of half a minute, is over."""
    start_worker(slots=2)
    cluster = connect()
    batch = cluster.batch(die_when_told, [7], kwargs={"folder": str(runs)})
    wait_until(lambda: (runs / "7").exists(), "it runs")
    cut(server, lambda: [cluster.submit(pow, 2, n).result(timeout=60) for n in range(4)])
    (runs / "go").touch()
    wait_until(lambda: (runs / "7").read_text() == "xx", "it runs again", seconds=15)
    assert batch.gather() == [7]


def die_when_told(number: int, folder: str) -> int:
    is_first = not Path(folder, str(number)).exists()
    run_until_told(number, folder)
    return leave(number, at=number if is_first else -1)


def held(client: Redis) -> int:
    """How many deliveries there are, and leases."""
    found: Any = client.hlen(UNACKED) + client.zcard(UNACKED_INDEX)
    return int(found)


def outlast_a_lease(server: Server) -> None:
    """Until each lease was renewed that a cut may have kept from it."""
    with server.client() as client:
        until = float(client.time()[0]) + LEASE_SECONDS + 2
        wait_until(lambda: client.time()[0] > until, "a lease would be over")
