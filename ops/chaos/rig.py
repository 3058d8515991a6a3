"""The system under test: a server, a proxy before it, worker hosts, and the folder of all that they write.

It ends everything that it started, whatever happens; should it be killed itself, the kernel does (`lifeline`).
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from manycore.protocol import keys
from manycore.protocol.broker import AWAY
from manycore.protocol.signing import generate_key
from ops.chaos.fragile import CLIENT
from ops.chaos.host import Host
from ops.chaos.items import RUNS
from ops.chaos.order import ARRIVALS
from ops.chaos.processes import wait_until
from ops.chaos.proxy import Proxy
from ops.chaos.runs import Freeze, History, Tail
from ops.chaos.server import Server

ROOT = Path(__file__).parents[2]
CLOCK_FOLDER = Path(__file__).with_name("clock")
LEASE_SECONDS = 4.0
"""Short, so that a run sees many leases end."""
AUDIT_SECONDS = 2.0
BUSY_SECONDS = 0.2
"""A slot that started an item this recently is busy; items take a twentieth of it."""
MAX_BYTES_PER_CHILD = 200 * 1024 * 1024
SLOTS, THREADS = 2, 8
BOXES = "boxes"
"""All hosts keep their black boxes in one place, as the stack's containers do in a volume."""
TASKS = "ops.chaos.tasks"


def command_of(name: str) -> list[str]:
    """A worker of the cpu fleet."""
    return _worker(name, "--slots", str(SLOTS), "--queue", "cpu")


def io_command_of(name: str) -> list[str]:
    """A worker of the io fleet: its items run in the threads of one process."""
    return _worker(name, "--slots", str(THREADS), "--queue", "io", "--pool", "threads")


def _worker(name: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "manycore.worker", "--name", name, *options]


class Rig:
    """A context manager. `settings` (MANYCORE_...) go to workers and clients alike.

    `hosts` of the cpu fleet come and go; one of the io fleet is there beside them, unless `worker` is another's.
    """

    def __init__(
        self,
        *,
        hosts: int = 3,
        settings: Mapping[str, str] | None = None,
        worker: Callable[[str], list[str]] = command_of,
        io: bool = True,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="manycore-chaos-"))
        self.key = generate_key()
        self.server = Server(self.folder)
        self.proxy = Proxy(self.server.port)
        chosen = {
            "url": self.server.url(self.proxy.port),
            "key": self.key,
            "lease_seconds": f"{LEASE_SECONDS:g}",
            "audit_seconds": f"{AUDIT_SECONDS:g}",
            "max_memory_per_child": str(MAX_BYTES_PER_CHILD),
            "tasks": TASKS,
        } | dict(settings or {})
        ambient = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
        self.env = ambient | {f"MANYCORE_{name.upper()}": value for name, value in chosen.items()}
        self.env["PYTHONPATH"] = str(ROOT)
        self.client_env = self.env | {CLIENT: "1"}
        self.wanted_hosts = hosts
        self._io = io
        self.hosts: list[Host] = []
        self.fixed: list[Host] = []
        self.keep = False
        self._command_of = worker
        self._made = 0
        self._tail = Tail(self.folder / RUNS)
        self._last_start: dict[int, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.all_hosts():
            host.end()
        self.proxy.close()
        self.server.kill()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_hosts(self) -> None:
        """Start those that are wanted, and wait until they consume."""
        if self._io:
            self.fixed.append(self._start("io@chaos", io_command_of, forks=False))
        self.hosts += [self.add_host() for _ in range(self.wanted_hosts - len(self.hosts))]
        for host in self.hosts:
            wait_until(lambda host=host: len(host.children()) >= SLOTS, f"{host.name} has its slots")  # type: ignore[misc]
        for host in self.fixed:
            wait_until(lambda host=host: self._known(host), f"{host.name} is there")  # type: ignore[misc]

    def add_host(self) -> Host:
        """Start one more."""
        self._made += 1
        return self._start(f"host{self._made}@chaos", self._command_of)

    def all_hosts(self) -> list[Host]:
        return [*self.hosts, *self.fixed]

    def _start(self, name: str, command_of: Callable[[str], list[str]], *, forks: bool = True) -> Host:
        boxes = self.folder / BOXES
        boxes.mkdir(exist_ok=True)
        path = os.pathsep.join([str(CLOCK_FOLDER), self.env["PYTHONPATH"]])
        env = self.env | {"MANYCORE_RUN_FOLDER": str(boxes), "PYTHONPATH": path}
        return Host(name, command_of(name), env, self.folder, forks=forks)

    def _known(self, host: Host) -> bool:
        try:
            with self.server.client() as client:
                return bool(client.exists(keys.worker(host.name)))
        except AWAY:
            return False

    def tend(self) -> None:
        """Restart the hosts that died, and forget those that were to end."""
        for host in self.all_hosts():
            host.tend()
        self.hosts = [host for host in self.hosts if host.alive or not host.retired]
        for note in self._tail.read():
            self._last_start[note.pid] = note.at

    def busy_children(self, host: Host) -> list[int]:
        """The slots of a host that run an item now."""
        since = monotonic() - BUSY_SECONDS
        return [pid for pid in host.children() if self._last_start.get(pid, 0.0) > since]

    def busy_host(self, dice: random.Random) -> Host | None:
        """A host that runs an item; None if none does."""
        busy = [host for host in self.all_hosts() if not host.retired and self.busy_children(host)]
        return dice.choice(busy) if busy else None

    def history(
        self, killed: Collection[int] = (), frozen: Collection[Freeze] = (), stopping: Collection[int] = ()
    ) -> History:
        """What ran and what arrived so far, and what the storm did to which processes: see `History`."""
        return History(Tail(self.folder / RUNS).read(), Tail(self.folder / ARRIVALS).read(), killed, frozen, stopping)
