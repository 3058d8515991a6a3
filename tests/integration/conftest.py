"""Real servers and real workers. Each server has its own folder and socket or port; none is shared or flushed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from manycore import Cluster
from manycore.client.locks import checked
from manycore.local.server import server_binary
from manycore.protocol.signing import generate_key
from ops.chaos.host import CLOCK
from ops.chaos.rig import CLOCK_FOLDER
from tests.flower import Flower
from tests.probe import Probe
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own MANYCORE_... must not steer the tests."""
    for name in [name for name in os.environ if name.startswith("MANYCORE_") and name != "MANYCORE_REQUIRE_ALL"]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def ranked_locks() -> Iterator[None]:
    """Every client of the tests raises at the first lock that it takes out of order."""
    with checked():
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A local cluster of two workers, shared by the tests that do no harm to it."""
    with Cluster(workers=2) as cluster:
        cluster.submit(abs, 1).result(timeout=30)
        yield cluster


@pytest.fixture(scope="session")
def flowers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flower, Flower]]:
    """Two that watch `cluster`: one that may change something, and one that may not."""
    url = Probe(cluster).address
    assert url is not None
    started = [Flower(url, tmp_path_factory.mktemp("flower"), read_only=only) for only in (False, True)]
    try:
        yield started[0].wait(), started[1].wait()
    finally:
        for flower in started:
            flower.stop()


@pytest.fixture
def flower(flowers: tuple[Flower, Flower]) -> Flower:
    return flowers[0]


@pytest.fixture
def read_only(flowers: tuple[Flower, Flower]) -> Flower:
    return flowers[1]


@dataclass(frozen=True)
class Server:
    """A server of the test's own on a loopback port, with a password, and a signing key."""

    url: str
    port: int
    password: str
    key: str
    process: subprocess.Popen[bytes]

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def as_user(self, name: str) -> str:
        """The address for a user with the rights that the stack gives to one of this name."""
        users = [line.split() for line in (ROOT / "ops/redis/users.acl").read_text().splitlines()]
        rights = next([right for right in rights if right[0] != "#"] for _, user, *rights in users if user == name)
        admin: Any = self.client()
        admin.execute_command("ACL", "SETUSER", name, *rights, ">pw")
        return self.url.replace(f":{self.password}@", f"{name}:pw@")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """A server with its files in `home`; at the end no key of ours may be left without a TTL."""
    password = secrets.token_hex(8)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    command = [server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", password]
    folder = home / "server"
    folder.mkdir()
    process = subprocess.Popen([*command, "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL)
    wait_until(lambda: answers(url), "the server answers")
    try:  # around all of it: what uses this skips, too, where a program is missing
        yield Server(url, port, password, generate_key(), process)
        if process.poll() is None:
            client = redis.Redis.from_url(url)
            assert not [key for key in client.keys("mc:*") if client.ttl(key) == -1], "a key without a TTL"
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def start_worker(server: Server, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    with workers_of(server, tmp_path) as start:
        yield start


@contextmanager
def workers_of(server: Server, home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts workers of `server`; `options` are the command's, the keywords settings (`tasks="..."`).

    `ahead` puts a worker's clock off by so many seconds; `closed` are those of its standard streams that it has not.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *options: str, slots: int = 1, wait: bool = True, ahead: float = 0.0, closed: str = "", **settings: str
    ) -> subprocess.Popen[bytes]:
        chosen = {"url": server.url, "key": server.key, "run_folder": str(home), "objects_folder": str(home)} | settings
        env = os.environ | {f"MANYCORE_{name.upper()}": value for name, value in chosen.items()}
        name = f"test{len(started)}@{secrets.token_hex(3)}"
        command = [sys.executable, "-m", "manycore.worker", "--slots", str(slots), "--name", name, *options]
        if closed:
            command = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
        env |= {"PYTHONPATH": str(ROOT)} | (clock_apart(home / f"{name}.clock", ahead) if ahead else {})
        log = (home / f"{name}.log").open("wb")
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        if wait:
            client = server.client()
            wait_until(lambda: client.exists(f"mc:worker:{name}"), f"worker {name} is there")
        return process

    try:
        yield start
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def clock_apart(file: Path, ahead: float) -> dict[str, str]:
    """The environment of a Python process whose clock is off."""
    file.write_bytes(CLOCK.pack(ahead))
    return {"CHAOS_CLOCK": str(file), "PYTHONPATH": f"{CLOCK_FOLDER}{os.pathsep}{ROOT}"}


@pytest.fixture
def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """Connects to `server`; the keywords are settings, by default its own key."""
    opened: list[Cluster] = []

    def open_cluster(**settings: str) -> Cluster:
        for name, value in ({"key": server.key} | settings).items():
            monkeypatch.setenv(f"MANYCORE_{name.upper()}", value)
        opened.append(Cluster(settings.get("url", server.url)))
        return opened[-1]

    yield open_cluster
    for cluster in opened:
        Probe(cluster).close_now()  # at once: some tests leave work that no worker is there for
