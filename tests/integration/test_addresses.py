"""One address means one server and one database to everybody; what cannot work is refused at once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from manycore import Cluster
from manycore.errors import SettingsError
from manycore.local.server import server_binary
from manycore.plain import celery_app
from manycore.quarantine import Quarantine
from tests.integration.conftest import Server
from tests.waiting import wait_until


@pytest.fixture
def cluster_node(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "node.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--cluster-enabled", "yes", "--dir", str(tmp_path)]
    process = subprocess.Popen([server_binary(), *options], stdout=subprocess.DEVNULL)
    wait_until(path.exists, "the node is there")
    yield f"unix://{path}"
    process.kill()
    process.wait()


@pytest.mark.parametrize("door", [Cluster, Quarantine])
def test_a_server_in_cluster_mode_is_refused(
    door: Callable[[str], object], cluster_node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANYCORE_KEY", "k" * 32)
    with pytest.raises(SettingsError, match="runs in cluster mode"):
        door(cluster_node)


def test_client_worker_and_plain_calls_use_the_database_of_the_query(
    server: Server,
    start_worker: Callable[..., subprocess.Popen[bytes]],
    connect: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = server.url.removesuffix("/0") + "?db=3"
    start_worker(url=url, tasks="tasks.primes", wait=False)
    monkeypatch.setenv("MANYCORE_URL", url)
    assert connect(url=url).submit(abs, -1).result(timeout=30) == 1
    assert celery_app().send_task("tasks.primes.count_primes", (0, 1000)).get(timeout=30) == 168
    assert set(redis.Redis.from_url(server.url).info("keyspace")) == {"db3"}
