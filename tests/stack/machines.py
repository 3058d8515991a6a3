"""Two machines of a test: network namespaces with a cable between them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.required import missing
from tests.stack.stack import ROOT

FIRST, SECOND = "198.51.100.1", "198.51.100.2"  # documentation's addresses: only the two namespaces have them


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

    def start(
        self, name: str, *command: str | Path, env: Mapping[str, str] = MappingProxyType({}), talk: bool = False
    ) -> subprocess.Popen[bytes]:
        """Run a command on one of the machines; with `talk`, its input and its output are the test's."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MANYCORE_")}
        log = (self.folder / f"{len(self._processes)}.log").open("wb")
        process = subprocess.Popen(
            ["ip", "netns", "exec", name, *command],
            cwd=ROOT,
            env=clean | {"MANYCORE_LEASE_SECONDS": "5", "MANYCORE_RUN_FOLDER": str(self.folder)} | dict(env),
            stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talk else log,
            stderr=log,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def limit(self, megabits: int) -> bool:
        """Let so much a second through to the second machine; False if this kernel cannot."""
        shaped = f"tc qdisc add dev {self._cable}a root tbf rate {megabits}mbit burst 512kb latency 100ms"
        command = ["ip", "netns", "exec", self.first, *shaped.split()]
        return (
            shutil.which("tc") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
        )

    @property
    def counter(self) -> str:
        """The file that says, on the second machine, how many bytes have come there."""
        return f"/sys/class/net/{self._cable}b/statistics/rx_bytes"

    def arrived(self) -> int:
        """The bytes that have come over the cable to the second machine."""
        command = ["ip", "netns", "exec", self.second, "cat", self.counter]  # which mounts the machine's own /sys
        return int(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)

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
