"""One address means one server and one database to everybody; what cannot work is refused at once."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
import redis
from click.testing import CliRunner

from manycore import Cluster
from manycore.cli.batches import batches
from manycore.errors import ConnectionFailed, SettingsError
from manycore.local.server import server_binary
from manycore.plain import celery_app
from manycore.protocol.settings import load_settings
from manycore.quarantine import Quarantine
from manycore.worker.checks import check_server
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


@pytest.fixture
def page() -> Iterator[str]:
    """The address of what is no Redis: a web server, which tells everybody so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    caller, _ = listener.accept()
                    with caller:
                        caller.recv(1024)
                        caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)


def listed(url: str) -> None:
    """As a command of the shell says it."""
    result = CliRunner().invoke(batches, ["--url", url])
    raise click.ClickException(result.output)


def worked_for(url: str) -> None:
    check_server(load_settings(url=url))


DOORS = pytest.mark.parametrize("door", [Cluster, Quarantine, listed, worked_for])


@DOORS
def test_what_speaks_another_language_is_no_server(
    door: Callable[[str], object], page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANYCORE_KEY", "k" * 32)
    with pytest.raises((ConnectionFailed, click.ClickException)) as raised:
        door(page)
    assert f"No Redis or Valkey answers at {page}: what is there speaks another language (" in str(raised.value)


@DOORS
def test_a_database_that_the_server_has_not(
    door: Callable[[str], object], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANYCORE_KEY", "k" * 32)
    with pytest.raises((SettingsError, click.ClickException), match="has no database of that number"):
        door(server.url.removesuffix("/0") + "/99")


@DOORS
def test_why_a_server_does_not_answer_is_one_sentence(
    door: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py ends some of its own with a dot."""
    monkeypatch.setenv("MANYCORE_KEY", "k" * 32)
    with pytest.raises((ConnectionFailed, click.ClickException), match=r"Connection refused\. Is it running"):
        door("redis://127.0.0.1:1/0")


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
