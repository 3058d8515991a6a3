"""The server under test: a process of our own on a loopback port, which can be killed, restarted and stopped.

It keeps an append-only file, synced every second, as the stack's does: a kill may cost it its last second. Nothing
rewrites that file: where a run broke a promise, it tells each command that led there.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from manycore.local.lifeline import die_with_parent
from manycore.local.server import server_binary
from manycore.protocol.broker import AWAY
from ops.chaos.processes import wait_until

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-percentage 0
maxmemory-policy noeviction
dbfilename {snapshot}
"""
SNAPSHOT = "snapshot"
"""A folder stands where a snapshot would be written: so each one fails, at once."""
COMMAND_BYTES = 300
"""About what one command takes in the append-only file."""


class Server:
    """Starts at construction."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self.password = secrets.token_hex(16)
        self._folder = folder / "server"
        self._folder.mkdir()
        (self._folder / SNAPSHOT).mkdir()
        self._config = self._folder / "server.conf"
        self._config.touch(0o600)  # it will hold the password
        self._config.write_text(
            CONFIG.format(port=self.port, password=self.password, folder=self._folder, snapshot=SNAPSHOT)
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        wait_until(self.answers, "the server answers")

    def url(self, port: int | None = None, database: int = 0) -> str:
        """The address; with a `port`, through the proxy that listens there."""
        return f"redis://:{self.password}@127.0.0.1:{port or self.port}/{database}"

    def client(self) -> redis.Redis:
        """A connection of the driver's own, past the proxy; short of breath, so that no fault holds the driver up."""
        return redis.Redis.from_url(self.url(), socket_timeout=1.0, retry=Retry(NoBackoff(), 0))

    def start(self, loading_seconds: float = 0.0) -> None:
        """Start it; what it kept is there again once it answers, at the earliest after `loading_seconds`.

        Until then it says that it is loading. Does nothing while it runs.
        """
        if self._process is not None and self._process.poll() is None:
            return
        own_pid = os.getpid()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [server_binary(), str(self._config), *self._slowly(loading_seconds)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(own_pid),
            )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def pids(self) -> set[int]:
        return set() if self._process is None else {self._process.pid}

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except AWAY:  # BusyLoadingError is one of them
            return False
        except redis.ResponseError:  # MISCONF: it is there, and refuses
            return True

    def configure(self, **options: str) -> bool:
        """Set options by their names (`_` for `-`); says whether it answered."""
        try:
            with self.client() as client:
                for name, value in options.items():
                    client.config_set(name.replace("_", "-"), value)
                return True
        except AWAY:
            return False

    def _slowly(self, seconds: float) -> list[str]:
        """The options that make it load for so long."""
        if not seconds:
            return []
        kept = sum(file.stat().st_size for file in self._folder.glob("appendonlydir/*"))
        delay = max(1, int(1e6 * seconds * COMMAND_BYTES / max(kept, COMMAND_BYTES)))
        return ["--key-load-delay", str(delay), "--loading-process-events-interval-bytes", "1024"]

    def _signal(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
