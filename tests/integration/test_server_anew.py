"""A server that begins anew without what it held: what is under way comes to its end all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled
from tests.functions import busy
from tests.integration.conftest import Server, answers
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


@contextmanager
def begun_anew(server: Server) -> Iterator[None]:
    """The server is killed, and started again without anything of what it held."""
    server.process.kill()
    server.process.wait()
    again = subprocess.Popen(server.process.args, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(server.url), "it answers")
        yield
    finally:
        again.kill()
        again.wait()


def test_a_named_batch_whose_server_began_anew_comes_to_its_end(
    server: Server, start_worker: StartWorker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Its record is gone as that of a deleted one is: it ended in `BatchCancelled`, which nobody had asked for."""
    start_worker()
    cluster = connect(audit_seconds="0.5")
    batch = cluster.batch(busy, [0.05] * 30, id="lasting")
    wait_until(lambda: batch.progress.done, "it is under way")
    with begun_anew(server):
        assert batch.gather() == [0.05] * 30
        assert "Batch lasting goes on, but without its record" in caplog.text
        assert cluster.batch(busy, [0.01] * 3, id="lasting").gather() == [0.01] * 3


@pytest.mark.slow
def test_one_that_is_deleted_after_that_ends(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    first, second = connect(audit_seconds="0.5"), connect(audit_seconds="0.5")
    with begun_anew(server):
        batch = first.batch(busy, [0.05] * 400, id="forgotten")
        wait_until(lambda: Probe(second).redis.hexists("mc:batch:forgotten", "total"), "it is sent whole")
        second.attach("forgotten").delete()
        assert isinstance(batch.gather(return_exceptions=True)[-1], BatchCancelled)
