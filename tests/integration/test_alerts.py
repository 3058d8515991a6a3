"""Each alert fires when the thing is really broken: a real Prometheus watches real workers through the exporter."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from manycore import Cluster
from manycore.protocol.broker import UNACKED
from tests.integration.conftest import Server, serving
from tests.monitoring import RULES, Prometheus, exporting, watching
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
Start = Callable[..., Any]
LIMIT = 32 * 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("alerts")) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    home = tmp_path_factory.mktemp("prometheus")
    with exporting(server.as_user("exporter"), home) as exporter, watching(exporter, home) as prometheus:
        wait_until(lambda: prometheus.ask("query", query="manycore_up == 1")["result"], "it has scraped")
        wait_until(lambda: not prometheus.firing(), "all is well")
        yield prometheus


@pytest.fixture
def fires(prometheus: Prometheus) -> Callable[[str], None]:
    """Wait until an alert fires that did not when the test began."""
    before = prometheus.firing()

    def wait(alert: str) -> None:
        assert alert not in before
        wait_until(lambda: alert in prometheus.firing(), f"{alert} fires")

    return wait


@pytest.fixture
def ends(prometheus: Prometheus) -> Callable[[str], None]:
    return lambda alert: wait_until(lambda: alert not in prometheus.firing(), f"{alert} ends")


Wait = Callable[[str], None]


@pytest.mark.filterwarnings("ignore:No worker of the fleet")
def test_work_without_a_worker(fires: Wait, ends: Wait, start_worker: Start, connect: Callable[..., Cluster]) -> None:
    batch = connect().batch(abs, [-1], fleet="gpu")
    fires("ManycoreNoWorker gpu")
    start_worker("--queue", "gpu")
    assert batch.gather() == [1]
    ends("ManycoreNoWorker gpu")
    ends("ManycoreBatchStuck")  # where it had to wait for long, that was true, too


def test_a_queue_and_a_batch_that_stand_still(
    fires: Wait, ends: Wait, start_worker: Start, connect: Callable[..., Cluster]
) -> None:
    start_worker("--queue", "slow")
    hanging = connect().batch(time.sleep, [60.0, 60.0], fleet="slow")
    fires("ManycoreBatchStuck")
    fires("ManycoreQueueOld slow")
    hanging.cancel(terminate=True)
    ends("ManycoreBatchStuck")
    ends("ManycoreQueueOld slow")


def test_messages_of_a_stranger(fires: Wait, start_worker: Start, server: Server) -> None:
    start_worker("--queue", "open")
    server.client().rpush("open", "junk")
    fires("ManycoreMessagesRefused open")


def test_processes_that_die_again_and_again(fires: Wait, start_worker: Start, connect: Callable[..., Cluster]) -> None:
    start_worker("--queue", "fragile", slots=2)
    batch = connect().batch(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(6), fleet="fragile")
    batch.gather(return_exceptions=True)
    fires("ManycoreChunksRepeat")


def test_a_worker_that_stands_still(
    fires: Wait, start_worker: Start, server: Server, connect: Callable[..., Cluster]
) -> None:
    options = ("--queue", "frozen")
    frozen = start_worker(*options, lease_seconds="3")
    batch = connect().batch(time.sleep, [60.0], fleet="frozen")
    wait_until(lambda: server.client().hlen(UNACKED), "it holds a lease")
    frozen.send_signal(signal.SIGSTOP)
    start_worker(*options, lease_seconds="3")
    fires("ManycoreLeasesExpire")
    batch.cancel(terminate=True)


def test_a_server_that_fills_up(fires: Wait, ends: Wait, server: Server) -> None:
    client: Any = server.client()
    client.config_set("maxmemory", LIMIT)
    with suppress(redis.OutOfMemoryError):
        for number in range(LIMIT // 2**20):
            client.set(f"filler:{number}", bytes(2**20), ex=60)
    try:
        fires("ManycoreRedisNearlyFull")
    finally:
        client.config_set("maxmemory", 0)
        client.delete(*client.keys("filler:*"))
    ends("ManycoreRedisNearlyFull")


def test_a_server_that_is_away(fires: Wait, ends: Wait, server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)
    try:
        fires("ManycoreAway")
    finally:
        server.process.send_signal(signal.SIGCONT)
    ends("ManycoreAway")


def test_no_alert_is_left_out() -> None:
    here = set(re.findall(r'fires\("(\w+)', Path(__file__).read_text()))
    assert here == set(re.findall(r"- alert: (\w+)", RULES.read_text()))
