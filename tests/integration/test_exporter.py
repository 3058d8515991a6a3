"""`manycore exporter`, scraped over HTTP as Prometheus does, while real workers work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.client import bookkeeper
from manycore.protocol import keys
from tests.functions import fail_on_seven
from tests.integration.conftest import Server
from tests.monitoring import Exporter, exporting
from tests.waiting import wait_until


@pytest.fixture
def exporter(server: Server, tmp_path: Path) -> Iterator[Exporter]:
    """With the rights that the stack gives it: it may read, and nothing else."""
    with exporting(server.as_user("exporter"), tmp_path) as running:
        yield running


def test_a_batch_is_counted_from_its_start_to_its_end(
    exporter: Exporter, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    start_worker(slots=2)
    cluster = connect()
    assert exporter.shows("manycore_workers", "cpu", value=1)
    assert exporter.shows("manycore_slots", "cpu", "idle", value=2)
    running = cluster.batch(time.sleep, [60.0] * 2)
    wait_until(lambda: exporter.shows("manycore_slots", "cpu", "busy", value=2), "both slots are busy")
    assert exporter.shows("manycore_batches", "running", value=1)
    waiting = cluster.batch(abs, range(4))
    wait_until(lambda: exporter.scrape()["manycore_queue_messages", "cpu", "0"] > 0, "chunks wait")
    wait_until(lambda: exporter.scrape()["manycore_queue_age_seconds", "cpu", "0"] > 0, "they get older")
    running.cancel(terminate=True)
    assert waiting.gather() == [0, 1, 2, 3]
    wait_until(lambda: exporter.shows("manycore_batches", "cancelled", value=1), "it is cancelled")

    assert len(cluster.batch(fail_on_seven, range(10)).gather(return_exceptions=True)) == 10
    wait_until(lambda: exporter.shows("manycore_items_done_total", "tests.functions.fail_on_seven", value=10), "done")
    found = exporter.scrape()
    assert found["manycore_items_failed_total", "tests.functions.fail_on_seven"] == 1
    assert found["manycore_item_seconds_bucket", "+Inf", "tests.functions.fail_on_seven"] == 10
    assert 0 < found["manycore_item_seconds_sum", "tests.functions.fail_on_seven"] < 10
    assert found["manycore_leases_renewed_total",] >= 0
    assert found["manycore_redis_memory_bytes",] > 0


def test_work_for_a_fleet_without_workers_is_seen(exporter: Exporter, connect: Callable[..., Cluster]) -> None:
    batch = connect().batch(abs, range(3), fleet="gpu")
    wait_until(lambda: exporter.shows("manycore_workers", "gpu", value=0), "its fleet is known")
    wait_until(lambda: exporter.shows("manycore_batches", "waiting", value=1), "it waits")
    found = exporter.scrape()
    assert found["manycore_batch_silent_seconds",] > 0
    assert found["manycore_batches_unfinished", "gpu"] == 1
    batch.cancel()


def test_a_program_that_makes_no_calls_has_no_work(
    exporter: Exporter,
    server: Server,
    start_worker: Callable[..., Any],
    connect: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is silent from the next call on, not from the last one."""
    monkeypatch.setattr(bookkeeper, "SEEN_SECONDS", 0.1)
    start_worker()
    cluster = connect()
    assert cluster.submit(abs, -1).result(20) == 1
    wait_until(lambda: exporter.shows("manycore_batches", "running", value=1), "it is known")
    wait_until(lambda: exporter.shows("manycore_batches_unfinished", "cpu", value=0), "it has no work")
    assert exporter.scrape()["manycore_batch_silent_seconds",] == 0
    (batch,) = cluster.batches()
    server.client().hset(keys.account(batch.id), mapping={"started": "1", "last": "2"})  # as if it were long ago
    cluster.submit(time.sleep, 600.0)
    wait_until(lambda: exporter.shows("manycore_batches_unfinished", "cpu", value=1), "it has work")
    assert 0 < exporter.scrape()["manycore_batch_silent_seconds",] < 60


def test_a_server_that_is_away_shows_and_ends_nothing(exporter: Exporter, server: Server) -> None:
    assert exporter.shows("manycore_up", value=1)
    server.process.kill()
    server.process.wait()
    assert exporter.scrape() == {("manycore_up",): 0}


def test_junk_in_the_server_costs_no_metric(exporter: Exporter, server: Server) -> None:
    client = server.client()
    client.hset("mc:account:x", mapping={"started": "soon", "done": "\xff", "s:many": "1"})
    client.zadd("mc:accounts", {"x": 1.0})
    client.hset("mc:worker:w", "slots", "many")
    client.zadd("mc:workers", {"w": 1.0})
    client.hset("mc:quarantine:items", "i", "{")
    client.hset("mc:quarantine:items", "j", json.dumps([time.time(), 1, "cpu", "\ud800"]))
    client.hset("mc:quarantine:items", "gone", json.dumps([time.time() - 9 * 86_400, 1, "cpu", "gone"]))
    client.set("io", "no list")
    for key in ("mc:account:x", "mc:accounts", "mc:worker:w", "mc:workers", "mc:quarantine:items"):
        client.expire(key, 60)
    assert exporter.shows("manycore_up", value=1)
    assert "gone" not in {label for labels in exporter.scrape() for label in labels}, "it has left the quarantine"


KEYS = ("mc:accounts", "mc:workers", "mc:quarantine", "mc:quarantine:items", "mc:quarantine:count", "manycore-unacked")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_another_type_costs_what_it_would_tell_alone(exporter: Exporter, server: Server, key: str) -> None:
    server.client().set(key, "somebody else's", ex=60)
    found = exporter.scrape()
    assert found["manycore_up",] == 1
    assert found["manycore_redis_memory_bytes",] > 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told(exporter: Exporter, signum: signal.Signals) -> None:
    exporter.scrape()
    exporter.process.send_signal(signum)
    assert exporter.process.wait(timeout=10) == 0


@pytest.mark.slow
def test_a_call_that_is_not_answered_shows_while_it_is_out(
    server: Server, start_worker: Callable[..., Any], tmp_path: Path
) -> None:
    """And leaves nothing behind once it is: no batch, and no key without an end."""
    worker = start_worker()
    with exporting(server.url, tmp_path, "--probe", "0.1", key=server.key) as exporter:

        def took() -> float:
            return exporter.scrape().get(("manycore_probe_seconds", "cpu"), 0.0)

        wait_until(lambda: 0 < took() < 2, "it is answered")
        worker.send_signal(signal.SIGSTOP)
        wait_until(lambda: took() > 3, "it is out")
        worker.send_signal(signal.SIGCONT)
        wait_until(lambda: 0 < took() < 2, "it is answered again")
        assert not any(value for name, value in exporter.scrape().items() if name[0] == "manycore_batches")


def test_a_probe_without_a_key_says_what_to_do(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "manycore.cli", "exporter", "--port", "0", "--probe", "1", "--url", server.url]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "MANYCORE_KEY" in ended.stderr


def test_without_an_address_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "manycore.cli", "exporter", "--port", "0"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "MANYCORE_URL" in ended.stderr
