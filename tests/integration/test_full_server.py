"""A server without a byte left: its workers stay in sight, keep what they run, and end what they are told to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from manycore import Cluster
from manycore.cli.__main__ import main
from manycore.protocol import keys
from manycore.protocol.account import Accounts
from manycore.protocol.broker import UNACKED_INDEX
from manycore.protocol.roster import live_workers
from tests.functions import sleeps
from tests.integration.conftest import Server
from tests.integration.troubles import full
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


def test_its_workers_stay_in_sight(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    """What they said is deleted here, instead of waiting until it runs into its TTL."""
    start_worker()
    assert connect().submit(abs, -1).result(20) == 1, "it has all that it writes as it starts"
    client = server.client()
    name = live_workers(client)[0].name
    with full(server):
        client.delete(keys.WORKERS, keys.worker(name), keys.activity(name), *client.keys(keys.inventory("*")))
        wait_until(lambda: [each.name for each in live_workers(client)] == [name], "it has said so again")
        assert client.exists(keys.activity(name))


def test_what_runs_keeps_its_lease(server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path) -> None:
    """With a second worker, which has nothing to do but to take over what looks lost."""
    for _ in range(2):
        start_worker(lease_seconds="2")
    folder, client = tmp_path / "runs", server.client()
    folder.mkdir()
    batch = connect(audit_seconds="3600").batch(sleeps, [(str(folder), 6.0)], star=True)
    wait_until(lambda: (folder / "1").exists(), "it runs")

    def lease() -> float:
        leases: Any = client.zrange(UNACKED_INDEX, 0, -1, withscores=True)
        return max(float(score) for _, score in leases)

    with full(server):
        began = lease()
        wait_until(lambda: lease() > began + 3, "it was renewed for longer than a lease")
    batch.gather()
    assert (folder / "1").read_text() == "x"


def test_what_fills_it_can_be_cancelled(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    start_worker()
    batch = connect(audit_seconds="0.5").batch(sleeps, [(str(tmp_path), 600.0)] * 3, star=True)
    wait_until(lambda: Accounts(server.client()).find(batch.id), "it is listed")
    with full(server):
        result = CliRunner().invoke(main, ["cancel", batch.id, "--terminate", "--url", server.url])
        assert (result.output, result.exit_code) == (f"{batch.id} is being cancelled, 3 items before its end.\n", 0)
        account = Accounts(server.client()).find(batch.id)
        assert account is not None
        assert account.end == "cancelled"
        assert batch.wait(20)


def test_a_client_cancels_on_it(server: Server, connect: Connect) -> None:
    """Its workers meet the flag, although nothing makes room."""
    cluster = connect()
    batch = cluster.batch(sleeps, [("", 600.0)], star=True, id="full")
    with full(server):
        batch.cancel()
        wait_until(lambda: server.client().hget(keys.batch("full"), "cancelled") == keys.GIVEN_UP, "it is flagged")
