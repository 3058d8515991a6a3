"""`manycore cancel`: a batch is ended from a shell, by its id alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from manycore import Cluster
from manycore.cli.__main__ import main
from manycore.errors import BatchCancelled
from tests.functions import busy, sleeps, square
from tests.integration.conftest import Server
from tests.waiting import wait_until

Connect = Callable[..., Cluster]
StartWorker = Callable[..., Any]


@pytest.fixture
def cancel(server: Server) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, ["cancel", *arguments, "--url", server.url])


def test_a_batch_ends_while_its_client_still_sends_it(
    start_worker: StartWorker, connect: Connect, cancel: Callable[..., Result]
) -> None:
    """`attach` wants one that was sent whole."""
    start_worker()
    batch = connect(audit_seconds="0.5").batch(busy, (0.01 for _ in iter(int, 1)), id="endless")
    wait_until(lambda: batch.progress.done, "it is under way")
    result = cancel("endless")
    assert (result.output, result.exit_code) == ("endless is being cancelled.\n", 0)
    assert batch.wait(20)
    assert isinstance(batch.gather(return_exceptions=True)[-1], BatchCancelled)


def test_what_runs_is_ended_if_that_is_asked_for(
    start_worker: StartWorker, connect: Connect, cancel: Callable[..., Result], tmp_path: Path
) -> None:
    start_worker(slots=2)
    cluster, folders = connect(audit_seconds="0.5"), [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    batch, other = (cluster.batch(sleeps, [(str(folder), 60.0)], star=True) for folder in folders)
    wait_until(lambda: all(list(folder.iterdir()) for folder in folders), "they are under way")
    wait_until(lambda: len(cluster.batches()) == 2, "they are listed")
    result = cancel("--terminate", batch.id, other.id)
    assert result.output == f"{batch.id} is being cancelled, 1 item before its end.\n" + (
        f"{other.id} is being cancelled, 1 item before its end.\n"
    )
    assert batch.wait(20)
    assert other.wait(20)
    assert cluster.submit(square, 3).result(20) == 9, "the slots are free"


def test_what_was_cancelled_and_still_runs_can_be_ended(
    start_worker: StartWorker, connect: Connect, cancel: Callable[..., Result], tmp_path: Path
) -> None:
    start_worker(slots=1)
    cluster = connect(audit_seconds="0.5")
    batch = cluster.batch(sleeps, [(str(tmp_path), 600.0)], star=True, id="nightly")
    wait_until(lambda: list(tmp_path.iterdir()) and cluster.batches(), "it is under way, and listed")
    assert cancel("nightly").output.startswith("nightly is being cancelled")
    assert batch.wait(20)
    result = cancel("nightly", "--terminate")
    assert result.output == "nightly had ended already; what still runs of it is being ended.\n"
    assert cluster.submit(square, 3).result(20) == 9, "the slot is free"
    assert cluster.batches()[-1].end == "cancelled"


def test_what_has_ended_is_left_and_what_nobody_knows_is_an_error(
    start_worker: StartWorker, connect: Connect, cancel: Callable[..., Result]
) -> None:
    start_worker()
    cluster = connect()
    assert cluster.batch(square, [1], id="done").gather() == [1]
    wait_until(lambda: cluster.batches()[0].end, "its account says so")
    assert (cancel("done").output, cancel("done").exit_code) == ("done had ended already.\n", 0)
    result = cancel("done", "unknown")
    assert (result.exit_code, "unknown" in result.output, "done" in result.output) == (1, True, False)
