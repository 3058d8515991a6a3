"""The system under test: a server, a proxy before it, worker hosts, and the folder of all that they write.

It ends everything that it started, whatever happens; should it be killed itself, the kernel does (`lifeline`).
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from manycore.protocol.codec import generate_key
from ops.chaos.client import ARRIVALS
from ops.chaos.host import Host
from ops.chaos.items import RUNS
from ops.chaos.processes import wait_until
from ops.chaos.proxy import Proxy
from ops.chaos.runs import History, Tail
from ops.chaos.server import Server

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 4.0
"""Short, so that a run sees many leases end."""
AUDIT_SECONDS = 2.0
BUSY_SECONDS = 0.2
"""A slot that started an item this recently is busy; items take a twentieth of it."""
MAX_BYTES_PER_CHILD = 200 * 1024 * 1024
SLOTS = 2


def command_of(name: str) -> list[str]:
    """A worker of every queue, so that what is thrown at any of them meets one."""
    options = ["--slots", str(SLOTS), "--queue", "cpu,io", "--name", name]
    return [sys.executable, "-m", "manycore.worker", *options]


class Rig:
    """A context manager. `settings` (MANYCORE_...) go to workers and clients alike."""

    def __init__(
        self,
        *,
        hosts: int = 3,
        settings: Mapping[str, str] | None = None,
        worker: Callable[[str], list[str]] = command_of,
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
        } | dict(settings or {})
        ambient = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
        self.env = ambient | {f"MANYCORE_{name.upper()}": value for name, value in chosen.items()}
        self.env["PYTHONPATH"] = str(ROOT)
        self.wanted_hosts = hosts
        self.hosts: list[Host] = []
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
        for host in self.hosts:
            host.end()
        self.proxy.close()
        self.server.kill()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_hosts(self) -> None:
        """Start those that are wanted, and wait until they consume."""
        self.hosts += [self.add_host() for _ in range(self.wanted_hosts - len(self.hosts))]
        for host in self.hosts:
            wait_until(lambda host=host: len(host.children()) >= SLOTS, f"{host.name} has its slots")  # type: ignore[misc]

    def add_host(self) -> Host:
        """Start one more."""
        name = f"host{self._made}@chaos"
        self._made += 1
        folder = self.folder / name
        folder.mkdir()
        return Host(name, self._command_of(name), self.env | {"MANYCORE_RUN_FOLDER": str(folder)}, self.folder)

    def tend(self) -> None:
        """Restart the hosts that died, and forget those that were to end."""
        for host in self.hosts:
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
        busy = [host for host in self.hosts if not host.retired and self.busy_children(host)]
        return dice.choice(busy) if busy else None

    def history(self) -> History:
        """What ran and what arrived so far."""
        return History(Tail(self.folder / RUNS).read(), Tail(self.folder / ARRIVALS).read())
