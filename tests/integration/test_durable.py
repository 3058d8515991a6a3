"""A named batch outlives its client: the same script goes on with it, and another process can attach."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchChanged, BatchIncomplete, UnknownBatch
from tests.functions import busy, fail_on_seven, note_run, square
from tests.integration.conftest import ROOT, Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
SCRIPT = """
import sys
from manycore import Cluster
from tests.functions import note_and_wait
cluster = Cluster()
batch = cluster.batch(note_and_wait, range(400), id="night", kwargs={"folder": sys.argv[1], "seconds": 0.005})
print("begun", flush=True)
print(sum(batch.gather()), flush=True)
cluster.shutdown()
"""


def test_the_same_batch_again_gives_its_results_without_running(
    start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    start_worker()
    folder = tmp_path / "runs"
    folder.mkdir()
    cluster = connect()
    for _ in range(2):
        batch = cluster.batch(note_run, range(50), id="once", kwargs={"folder": str(folder)})
        assert batch.gather() == list(range(50))
    assert {path.read_text() for path in folder.iterdir()} == {"x"}


def test_another_client_attaches_and_gathers(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    first, second = connect(), connect()
    batch = first.batch(fail_on_seven, range(100), id="shared")
    batch.wait(20)
    wait_until(lambda: Probe(second).redis.hexists("mc:batch:shared", "total"), "all of it is sent")
    results = second.attach("shared").gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != n] == [7]
    assert first.attach("shared").progress.done == 100


def test_who_attaches_finds_lost_items_too(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    first = connect(audit_seconds="0.3")
    batch = first.batch(lambda n: n * 2, range(100), id="orphan")
    client = server.client()
    wait_until(lambda: client.hexists("mc:batch:orphan", "total"), "all of it is sent")
    assert not batch.progress.done
    Probe(first).stop_sending_and_reading()
    for _ in range(4):
        client.lpop("cpu")
    start_worker()
    assert connect(audit_seconds="0.3").attach("orphan").gather() == [n * 2 for n in range(100)]


def test_attaching_to_nothing(start_worker: StartWorker, connect: Connect) -> None:
    with pytest.raises(UnknownBatch, match="no batch 'nothing'"):
        connect().attach("nothing")


def test_attaching_to_a_batch_that_is_still_being_sent(connect: Connect) -> None:
    cluster = connect()
    cluster.batch(square, range(100_000), id="half")  # the window holds the rest back: there is no worker
    with pytest.raises(BatchIncomplete, match="same program with the same id"):
        cluster.attach("half")


@pytest.mark.parametrize(("function", "items"), [(square, range(11)), (busy, range(10))], ids=["input", "function"])
def test_a_changed_batch_is_refused(
    start_worker: StartWorker, connect: Connect, function: Callable[[Any], Any], items: range
) -> None:
    start_worker()
    cluster = connect()
    cluster.batch(square, range(10), id="changed").gather()
    with pytest.raises(BatchChanged, match="on_change='accept'"):
        cluster.batch(function, items, id="changed")


def test_a_changed_input_can_be_accepted(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect()
    cluster.batch(square, range(10), id="grown").gather()
    assert cluster.batch(square, range(12), id="grown", on_change="accept").gather() == [n * n for n in range(12)]


def test_a_client_killed_at_random_loses_nothing(server: Server, start_worker: StartWorker, tmp_path: Path) -> None:
    """The same script, killed three times at random moments of submit and gather, then left alone."""
    start_worker(slots=2)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    folder = tmp_path / "runs"
    folder.mkdir()
    env = os.environ | {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    for _ in range(3):
        client = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
        with client:
            done = len(list(folder.iterdir()))
            more = moments.randrange(1, 80)
            wait_until(lambda done=done, more=more: len(list(folder.iterdir())) >= done + more, "items run")  # type: ignore[misc]
            client.send_signal(signal.SIGKILL)
    finished = subprocess.run(command, env=env, capture_output=True, text=True, timeout=50)
    assert finished.stdout.split() == ["begun", str(sum(range(400)))], finished.stderr
    runs = [len(path.read_text()) for path in folder.iterdir()]
    assert len(runs) == 400
    assert sum(runs) <= 400 + 3 * 40  # what a killed client had out may run again; the rest must not


def test_a_client_that_leaves_does_not_take_its_named_batch_along(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    first, second = connect(), connect()
    first.batch(busy, [0.01] * 100, id="goes-on")
    wait_until(lambda: Probe(first).redis.hexists("mc:batch:goes-on", "total"), "all of it is sent")
    second.attach("goes-on")
    Probe(first).close_now()
    Probe(second).close_now()
    assert connect().attach("goes-on").gather() == [0.01] * 100


def test_a_batch_can_be_attached_to_while_it_is_gathered_here(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect()
    batch = cluster.batch(busy, [0.01] * 100, id="twice")
    wait_until(lambda: Probe(cluster).redis.hexists("mc:batch:twice", "total"), "all of it is sent")
    attached = cluster.attach("twice")
    assert batch.gather() == attached.gather() == [0.01] * 100
