"""Servers with one worker each, which is started again whenever it ends, as a container would be."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from manycore.local.server import server_binary
from tests.integration.matrix.table import Cell
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
POOLS = {"cpu": ("prefork", 4), "io": ("threads", 4)}
SETTINGS = {"lease_seconds": "2", "audit_seconds": "0.5", "tasks": f"{__package__}.trouble"}
CALM_SECONDS = 15.0


class Site:
    """One fleet: `cpu`, of processes, or `io`, of threads. `key` signs."""

    def __init__(self, folder: Path, fleet: str, key: str) -> None:
        folder.mkdir()
        self.url = f"unix://{folder}/server.sock"
        self.redis = redis.Redis.from_url(self.url)
        self.deaths = 0
        self._folder = folder
        command = [server_binary(), "--port", "0", "--unixsocket", f"{folder}/server.sock", "--save", ""]
        self._server = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "the server answers")
        pool, slots = POOLS[fleet]
        settings = SETTINGS | {"url": self.url, "key": key, "run_folder": str(folder)}
        self._env = os.environ | {f"MANYCORE_{name.upper()}": value for name, value in settings.items()}
        self._env["PYTHONPATH"] = str(ROOT)
        self._name = f"{fleet}@{secrets.token_hex(3)}"
        options = ["--pool", pool, "--queue", fleet, "--slots", str(slots), "--name", self._name]
        self._command = [sys.executable, "-m", "manycore.worker", *options]
        self._ending = False
        self._worker = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        wait_until(lambda: self.redis.exists(f"mc:worker:{self._name}"), "the worker is there")

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "worker.log").open("ab") as log:
            return subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log, start_new_session=True)

    def _keep(self) -> None:
        while True:
            self._worker.wait()
            if self._ending:
                return
            self.deaths += 1
            self._worker = self._start()

    def _answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.ConnectionError:
            return False

    def check_calm(self) -> None:
        """Nothing waits, nothing is held, and each key has its end."""
        wait_until(lambda: not self._waiting(), "no message is left", seconds=CALM_SECONDS)
        endless = [key for key in self.redis.keys("mc:*") if self.redis.ttl(key) == -1]
        assert not endless, f"keys without an end: {endless}"

    def _waiting(self) -> bool:
        queues = [key for fleet in POOLS for key in self.redis.keys(f"{fleet}*") if self.redis.type(key) == b"list"]
        return bool(queues or self.redis.hlen("manycore-unacked"))

    def close(self) -> None:
        """Check that all is calm, and stop as an operator would; say which processes that leaves."""
        try:
            self.check_calm()
            self._ending = True
            self._worker.terminate()
            self._worker.wait(CALM_SECONDS)
            left = self._processes()
        finally:
            self._ending = True
            with suppress(ProcessLookupError):
                os.killpg(self._worker.pid, 9)
            self._worker.wait()
            self._keeper.join()
            self._server.kill()
            self._server.wait()
        assert not left, f"processes are left: {left}"

    def _processes(self) -> list[str]:
        """Those with this site's address in their environment, apart from us."""
        mark, found = f"MANYCORE_URL={self.url}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                    found.append(f"{folder.name} {(folder / 'cmdline').read_bytes()!r}")
        return found


class Sites:
    """Those of the matrix. One of each fleet is shared; a cell that kills a worker of threads has one to itself."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._lock = threading.Lock()
        self._shared: dict[str, Site] = {}
        self._free: list[Site] = []
        self._all: list[Site] = []

    @contextmanager
    def lend(self, cell: Cell) -> Iterator[Site]:
        """The site of a cell, to be given back."""
        if not (cell.deadly and cell.fleet == "io"):
            with self._lock:
                if cell.fleet not in self._shared:
                    self._shared[cell.fleet] = self._open(cell.fleet)
            yield self._shared[cell.fleet]
            return
        with self._lock:
            site = self._free.pop() if self._free else None
        site = site or self._open(cell.fleet)
        yield site  # one in which something went wrong is not lent again
        self._free.append(site)

    def _open(self, fleet: str) -> Site:
        site = Site(self._folder / secrets.token_hex(3), fleet, self._key)
        self._all.append(site)
        return site

    def close(self) -> None:
        failures: list[Exception] = []
        for site in self._all:
            try:
                site.close()
            except (AssertionError, subprocess.TimeoutExpired) as exc:
                failures.append(exc)
        if failures:
            raise ExceptionGroup("not all sites are calm", failures)
