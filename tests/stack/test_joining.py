"""Another machine joins the stack over TLS, in each of the ways that docs/operations.md shows."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from manycore import Cluster
from tests.required import missing
from tests.stack.pythons import IMAGE as IMAGE_PYTHON
from tests.stack.pythons import OURS
from tests.stack.stack import IMAGE, ROOT, Stack, docker
from tests.waiting import wait_until

MANYCORE = str(Path(sys.executable).with_name("manycore"))
OPERATIONS = (ROOT / "docs/operations.md").read_text()


@pytest.fixture
def token(stack: Stack, tmp_path: Path) -> Path:
    """A file with a token, for another machine that is this one."""
    path = tmp_path / "join"
    path.write_text(stack.command("join-token", "--host", "127.0.0.1", "--token-only"))
    path.chmod(0o644)  # the container's user is another
    return path


def shown(language: str, word: str) -> str:
    """The block of docs/operations.md that has this word."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", OPERATIONS, re.DOTALL)
    return next(block for block in blocks if word in block)


def check(command: list[str], connected: Cluster, fleet: str) -> None:
    """It takes part, and ends in good order."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
    command = [*command, "--fleet", fleet, "--slots", "1"]
    process = subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        found = list(connected.batch(abs, range(20), fleet=fleet).as_completed())
        assert len(found) == 20
        assert len({outcome.worker for outcome in found}) == 1
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()


def test_the_line_that_the_first_machine_prints_runs_on_another(stack: Stack, connected: Cluster) -> None:
    line = stack.command("join-token", "--host", "127.0.0.1")
    program, *arguments = shlex.split(line)
    assert program == "manycore"
    check([MANYCORE, *arguments], connected, "second")


def test_flower_shows_a_fleet_that_came_after_it(stack: Stack, token: Path) -> None:
    login = base64.b64encode(f"admin:{stack.flower_password}".encode()).decode()
    page = Request(f"{stack.flower}/api/queues", headers={"Authorization": f"Basic {login}"})

    def shows(name: str) -> bool:
        with urlopen(page, timeout=10) as answer:
            return name in answer.read().decode()

    assert not shows("latecomer")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
    worker = subprocess.Popen(
        [MANYCORE, "worker", "--join", f"@{token}", "--fleet", "latecomer", "--slots", "1"], env=env
    )
    try:
        wait_until(lambda: shows("latecomer"), "Flower shows the queue of the new fleet", seconds=30)
    finally:
        worker.terminate()
        worker.wait(timeout=30)


@pytest.mark.skipif(OURS == IMAGE_PYTHON, reason="there is no other Python")
def test_a_machine_with_another_python_takes_its_part_in_a_fleet(connected: Cluster, token: Path) -> None:
    def item(_: int) -> tuple[int, ...]:
        time.sleep(0.05)
        return sys.version_info[:2]

    def versions() -> set[tuple[int, ...]]:
        return set(connected.batch(item, range(20)).gather())

    env = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
    worker = subprocess.Popen([MANYCORE, "worker", "--join", f"@{token}", "--slots", "1"], env=env)
    try:
        wait_until(lambda: len(versions()) == 2, "both Pythons have run it", seconds=30)
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def test_the_container_that_is_shown_joins(connected: Cluster, token: Path) -> None:
    name = f"manycore-test-{secrets.token_hex(3)}"
    line = shown("sh", "docker run -d --restart").replace("\\\n", " ").replace("$PWD", str(token.parent))
    command = shlex.split(line.replace("manycore:latest", IMAGE))
    assert command[:2] == ["docker", "run"]
    docker("run", "--name", name, *command[2:], "--fleet", name, "--slots", "1")
    try:
        assert connected.batch(abs, [-1, 2], fleet=name).gather() == [1, 2]
        large = connected.put(bytes(48 << 20))  # more than half of Docker's own 64 MiB of shared memory
        assert connected.batch(len, [large], fleet=name).gather() == [48 << 20]
        docker("stop", name)
        assert docker("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "0"
    finally:
        docker("rm", "--force", name)


def test_the_unit_that_is_shown_is_one_and_its_command_runs(connected: Cluster, token: Path, tmp_path: Path) -> None:
    unit = shown("ini", "[Unit]").replace("/opt/manycore/bin/manycore", MANYCORE)
    path = tmp_path / "manycore-worker.service"
    path.write_text(unit)
    if shutil.which("systemd-analyze") is None:
        missing("`systemd-analyze` is not on PATH")
    verified = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=")
    words = shlex.split(command.replace("${CREDENTIALS_DIRECTORY}", str(token.parent)))
    check(words, connected, "unit")


def test_only_the_port_with_tls_is_published_to_others(stack: Stack) -> None:
    config = stack.compose("config", "--format", "json", MANYCORE_LISTEN="0.0.0.0")
    open_to_all = re.findall(r'"host_ip": "0\.0\.0\.0",\s*"target": (\d+)', config)
    assert open_to_all == ["6380"]


@pytest.mark.parametrize("name", ["localhost", "redis", "127.0.0.1"])
def test_the_servers_certificate_bears_the_names_by_which_it_is_reached(stack: Stack, name: str) -> None:
    authority = Path(stack.client_environment()["MANYCORE_KEY_FILE"]).with_name("ca.crt")
    host, _, port = stack.compose("port", "redis", "6380").strip().rpartition(":")
    context = ssl.create_default_context(cafile=str(authority))
    plain = socket.create_connection((host, int(port)), timeout=10)
    with context.wrap_socket(plain, server_hostname=name) as safe:
        assert safe.version() == "TLSv1.3"
