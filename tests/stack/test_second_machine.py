"""A second machine, in its own network namespace, joins over TLS, works, is cut off and killed: nothing is lost."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from manycore.local.server import server_binary
from manycore.protocol.invitation import Invitation
from manycore.protocol.signing import generate_key
from ops.init.certificates import ensure_certificates
from tests.required import missing
from tests.stack.stack import ROOT
from tests.waiting import wait_until

FIRST, SECOND = "198.51.100.1", "198.51.100.2"  # documentation's addresses: only the two namespaces have them
PORT, TLS_PORT = 6379, 6380  # of a namespace in which nobody else is
ITEMS = 400

CLIENT = """
import json, os, sys, time
from pathlib import Path
from manycore import Cluster

folder = Path(sys.argv[1])

def item(number):
    time.sleep(0.05)
    return number, os.readlink("/proc/self/ns/net")

with Cluster() as cluster:
    batch = cluster.batch(item, range(int(sys.argv[2])))
    seen, outcomes = set(), []
    for outcome in batch.as_completed():
        outcomes.append((outcome.index, *outcome.value))
        seen.add(outcome.value[1])
        (folder / "seen").write_text(json.dumps([len(outcomes), sorted(seen)]))
    (folder / "done").write_text(json.dumps(outcomes))
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


class Machines:
    """Two namespaces with a cable between them; all that was started in them ends with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tag = secrets.token_hex(3)
        self.first, self.second = f"mc-{tag}-1", f"mc-{tag}-2"
        self._cable = f"mc{tag}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def up(self) -> None:
        for name in (self.first, self.second):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        ends = (f"{self._cable}a", f"{self._cable}b")
        run("ip", "-n", self.first, "link", "add", ends[0], "type", "veth", "peer", ends[1], "netns", self.second)
        for name, end, address in zip((self.first, self.second), ends, (FIRST, SECOND), strict=True):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", end)
            run("ip", "-n", name, "link", "set", end, "up")

    def start(self, name: str, *command: str | Path, **env: str) -> subprocess.Popen[bytes]:
        """Run a command on one of the machines."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MANYCORE_")}
        log = (self.folder / f"{len(self._processes)}.log").open("wb")
        process = subprocess.Popen(
            ["ip", "netns", "exec", name, *command],
            cwd=ROOT,
            env=clean | {"MANYCORE_LEASE_SECONDS": "5", "MANYCORE_RUN_FOLDER": str(self.folder)} | env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def pull_the_cable(self) -> None:
        run("ip", "-n", self.second, "link", "set", f"{self._cable}b", "down")

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def down(self) -> None:
        for process in self._processes:
            kill(process)
        for name in (self.first, self.second):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def held_up_by_others(process: subprocess.Popen[bytes]) -> float:
    """How long its first thread was ready to run and other programs had the cores."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        missing("network namespaces need root and iproute2's `ip`")
    machines = Machines(tmp_path)
    try:
        machines.up()
    except subprocess.CalledProcessError as exc:
        machines.down()
        missing(f"no network namespace can be made: {exc.stderr!r}")
    yield machines
    machines.down()


def test_a_machine_joins_a_running_batch_and_dies_in_the_middle_of_it(machines: Machines, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    for service in ("authority", "redis", "worker", "client"):
        (certificates / service).mkdir(parents=True)
    ensure_certificates(certificates)
    key, password = generate_key(), secrets.token_hex(8)
    at_home = {"MANYCORE_URL": f"redis://:{password}@127.0.0.1:{PORT}/0", "MANYCORE_KEY": key}
    python, manycore = sys.executable, Path(sys.executable).with_name("manycore")
    data = tmp_path / "data"
    data.mkdir()
    server = (server_binary(), "--port", str(PORT), "--bind", "127.0.0.1", "--requirepass", password, "--save", "")
    machines.start(machines.first, *server, "--dir", str(data))
    machines.start(machines.first, python, "-m", "tests.tls_front", FIRST, str(TLS_PORT), str(PORT), str(certificates))
    machines.start(machines.first, manycore, "worker", "--slots", "1", **at_home)
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    client = machines.start(machines.first, python, str(script), str(tmp_path), str(ITEMS), **at_home)

    def seen() -> tuple[int, list[str]]:
        try:
            count, places = json.loads((tmp_path / "seen").read_text())
        except (OSError, ValueError):
            return 0, []
        return count, places

    wait_until(lambda: seen()[0] > 5 or client.poll() is not None, "the batch runs", seconds=30)
    assert len(seen()[1]) == 1, machines.logs()
    url = f"rediss://:{password}@{FIRST}:{TLS_PORT}/0?ssl_check_hostname=false"
    token = Invitation(url, key, (certificates / "worker/ca.crt").read_text()).token()
    pasted = monotonic()
    second = machines.start(machines.second, manycore, "worker", "--slots", "1", "--join", token)
    wait_until(lambda: len(seen()[1]) == 2 or client.poll() is not None, "both machines work", seconds=30)
    seconds, held_up = monotonic() - pasted, held_up_by_others(second)
    print(f"from the pasted line to its first outcome: {seconds:.2f} s, of that {held_up:.2f} s without a core")
    assert client.poll() is None, machines.logs()
    assert seconds - held_up < 5
    machines.pull_the_cable()
    kill(second)
    client.wait(timeout=60)
    outcomes: list[Any] = json.loads((tmp_path / "done").read_text())
    assert sorted(index for index, _, _ in outcomes) == list(range(ITEMS))
    assert all(index == value for index, value, _ in outcomes)
    assert len({place for _, _, place in outcomes}) == 2
