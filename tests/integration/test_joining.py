"""`manycore worker` and TLS: a machine joins with one line, and believes nobody but the stack's own authority."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from manycore import Cluster
from manycore.errors import ConnectionFailed, NotTrusted, SettingsError
from manycore.protocol.invitation import Invitation
from manycore.protocol.signing import generate_key
from ops.init.certificates import ensure_certificates
from tests.integration.conftest import ROOT, Server
from tests.waiting import wait_until

Connect = Callable[..., Cluster]
Join = Callable[..., subprocess.Popen[str]]
SERVICES = ("authority", "redis", "worker", "client")


def certificates(folder: Path, now: datetime | None = None) -> Path:
    for service in SERVICES:
        (folder / service).mkdir(parents=True)
    ensure_certificates(folder, now=now)
    return folder


class Front:
    """Ports with TLS before the plain server, each with its own certificates."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._processes: list[subprocess.Popen[str]] = []

    def open(self, folder: Path, host: str = "127.0.0.1") -> str:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "tests.tls_front", host, str(port), str(self._server.port), str(folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        place = f"[{host}]" if ":" in host else host
        return f"rediss://:{self._server.password}@{place}:{port}/0"

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def front(server: Server) -> Iterator[Front]:
    front = Front(server)
    yield front
    front.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return certificates(tmp_path / "ours")


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Runs `manycore worker` as a shell would, away from the repository."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str, given: str | None = None, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("manycore"), "worker", *options],
            cwd=tmp_path,
            env=os.environ | {"MANYCORE_RUN_FOLDER": str(tmp_path)} | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdin is not None
        if given is not None:
            process.stdin.write(given)
        process.stdin.close()
        process.stdin = None
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def invitation(url: str, server: Server, folder: Path) -> str:
    return Invitation(url, server.key, (folder / "worker/ca.crt").read_text()).token()


@pytest.mark.parametrize("how", ["argument", "stdin", "file"])
def test_a_machine_joins_with_one_line(
    how: str, server: Server, front: Front, folder: Path, join: Join, connect: Connect, tmp_path: Path
) -> None:
    token = invitation(front.open(folder), server, folder)
    (tmp_path / "token").write_text(token)
    option = {"argument": token, "stdin": "-", "file": "@token"}[how]
    # What the environment says of another cluster does not count.
    others = {"MANYCORE_URL": "redis://127.0.0.1:1", "MANYCORE_KEY_FILE": "/nowhere"}
    worker = join("--join", option, "--fleet", "gpu", "--slots", "2", given=token if how == "stdin" else None, **others)
    assert set(connect().batch(lambda _: os.getppid(), range(50), fleet="gpu").gather()) == {worker.pid}
    assert token not in Path(f"/proc/{worker.pid}/cmdline").read_text()
    worker.send_signal(signal.SIGINT if how == "stdin" else signal.SIGTERM)
    said, _ = worker.communicate(timeout=30)
    assert worker.returncode == 0, said
    assert server.key not in said
    assert server.password not in said
    assert not list(Path(tmp_path).glob("manycore-*/ca.crt"))
    assert not server.client().exists("mc:workers")


def linger(folder: str) -> int:
    Path(folder, "started").touch()
    time.sleep(1)
    return 7


def test_ctrl_c_in_a_terminal_lets_the_running_item_end(
    server: Server, join: Join, connect: Connect, tmp_path: Path
) -> None:
    """It reaches the whole process group, the children among it."""
    worker = join("--url", server.url, "--slots", "2", MANYCORE_KEY=server.key)
    future = connect().submit(linger, str(tmp_path))
    wait_until((tmp_path / "started").exists, "the item runs")
    os.killpg(worker.pid, signal.SIGINT)
    said, _ = worker.communicate(timeout=30)
    assert (worker.returncode, future.result(timeout=5)) == (0, 7), said


def test_a_worker_needs_no_token(server: Server, join: Join, connect: Connect) -> None:
    worker = join("--url", server.url, "--slots", "1", MANYCORE_KEY=server.key)
    assert connect().submit(os.getppid).result(timeout=30) == worker.pid


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        (("--url", "redis://127.0.0.1:1"), {"MANYCORE_KEY": generate_key()}, "Is it running"),
        (("--url", "redis://127.0.0.1:1"), {}, "There is no signing key"),
        ((), {"MANYCORE_KEY": generate_key()}, "There is no server to work for"),
        (("--fleet", "a:b"), {}, "a fleet's name is"),
        (("--join", "manycore-join-1.abc.def"), {}, "cut off"),
        (("--join", "@nowhere"), {}, "cannot be read"),
        (("--join", "a"), {}, "This is no join token"),
        (("--join=", "--url", "redis://127.0.0.1:1"), {}, "Give one of them"),
        (("--join", ""), {"MANYCORE_URL": "redis://127.0.0.1:1", "MANYCORE_KEY": generate_key()}, "--join is empty"),
        (("--loglevel", "loud"), {}, "'loud' is not one of"),
        (("--join", "-", "--url", "redis://h"), {}, "Give one of them"),
        (("--slots", "0"), {}, "--slots"),
    ],
)
def test_what_cannot_work_ends_it_with_the_next_step(
    join: Join, options: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    worker = join(*options, **env)
    said, _ = worker.communicate(timeout=30)
    assert worker.returncode in (1, 2)
    assert words in " ".join(said.split())
    assert "Traceback" not in said


def test_a_server_that_drops_keys_is_refused(server: Server, join: Join) -> None:
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    worker = join("--url", server.url, MANYCORE_KEY=server.key)
    said, _ = worker.communicate(timeout=30)
    assert (worker.returncode, "drops keys" in said) == (1, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_client_believes_the_stacks_authority(front: Front, folder: Path, connect: Connect, host: str) -> None:
    cluster = connect(url=front.open(folder, host), ca_file=str(folder / "client/ca.crt"))
    assert "ssl_ca_certs" in str(cluster._session.settings.url)


def test_nobody_else_is_believed(front: Front, folder: Path, connect: Connect, tmp_path: Path) -> None:
    other = certificates(tmp_path / "other")
    with pytest.raises(NotTrusted, match=r"not signed by the authority.*fresh token"):
        connect(url=front.open(folder), ca_file=str(other / "client/ca.crt"))


def test_the_machines_own_authorities_do_not_sign_for_it(front: Front, folder: Path, connect: Connect) -> None:
    with pytest.raises(NotTrusted, match="MANYCORE_CA_FILE"):
        connect(url=front.open(folder))


def test_a_certificate_ends(front: Front, connect: Connect, tmp_path: Path) -> None:
    old = certificates(tmp_path / "old", now=datetime.now(UTC) - timedelta(days=500))
    with pytest.raises(NotTrusted, match=r"has expired.*`init`"):
        connect(url=front.open(old), ca_file=str(old / "client/ca.crt"))


@pytest.mark.slow
def test_each_end_is_told_which_port_it_should_have_taken(
    server: Server, front: Front, folder: Path, connect: Connect
) -> None:
    with_tls = front.open(folder)
    with pytest.raises(ConnectionFailed, match="write rediss://"):
        connect(url=with_tls.replace("rediss://", "redis://"))
    with pytest.raises(ConnectionFailed, match="write redis://"):
        connect(url=server.url.replace("redis://", "rediss://"), ca_file=str(folder / "client/ca.crt"))


def test_an_authority_that_is_not_there_is_named(server: Server, connect: Connect) -> None:
    with pytest.raises(SettingsError, match=r"MANYCORE_CA_FILE names /nowhere"):
        connect(url=server.url.replace("redis://", "rediss://"), ca_file="/nowhere")
