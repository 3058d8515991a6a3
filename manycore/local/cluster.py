"""A private cluster on this machine: an embedded server and a worker with one process per granted core.

It shares nothing with another one: a folder of its own (0700), a server on a unix socket in it with a password of its
own, a signing key of its own. The supervisor process ends it all, whatever happens to this one. It belongs to the
process that made it: in a forked child it is nobody's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from weakref import WeakSet

from manycore.errors import LocalClusterFailed
from manycore.local import interpreter
from manycore.local.cpus import granted_cpus
from manycore.local.server import LocalServer, write_private
from manycore.protocol import home
from manycore.protocol.home import Home
from manycore.protocol.signing import generate_key

START_SECONDS = 20.0
STOP_SECONDS = 10.0
LEASE_SECONDS = 5.0
"""Short, because nothing but the death of the one worker can end a lease here."""
LOG_TAIL_BYTES = 2_000
_alive: WeakSet[LocalCluster] = WeakSet()


class LocalCluster:
    """Starts at construction; `url`, `key_file` and `slots` say what there is. `stop` or the end of us ends it."""

    def __init__(self, workers: int | None = None) -> None:
        interpreter.check_interpreter()
        self.slots = workers if workers is not None else granted_cpus()
        self._owner = os.getpid()
        self._folder = _make_folder()
        self.home = _make_home(self._folder)
        try:
            self.key_file = self._folder / "key"
            write_private(self.key_file, generate_key())
            self._server = LocalServer.configure(self._folder)
            self.url = self._server.address.redis_url
            self._configure_supervisor()
            self._supervisor = self._start_supervisor()
        except BaseException as exc:
            shutil.rmtree(self._folder, ignore_errors=True)
            self.home.remove()
            if isinstance(exc, OSError):  # no file descriptor, no process, no memory, no disk
                raise LocalClusterFailed(f"{_reason(exc)}. Next: free some, or raise the limit (ulimit -a)") from exc
            raise
        _alive.add(self)

    @property
    def process_id(self) -> int:
        """The process that holds it all together: its descendants are the server and the workers."""
        return self._supervisor.pid

    def wait_for_server(self) -> None:
        """Return when the server accepts connections. Raises `LocalClusterFailed` with its log if it does not."""
        deadline = monotonic() + START_SECONDS
        pause = Event()
        while not self._server.accepts():
            self.check()
            if monotonic() > deadline:
                raise LocalClusterFailed(f"its server did not start within {START_SECONDS:g} s", self._tail("server"))
            pause.wait(0.005)

    def check(self) -> None:
        """Raise `LocalClusterFailed` if the cluster is down for good. It costs one system call."""
        if self._supervisor.poll() is None:
            return
        # Not by the exit code, which is lost where this program ignores SIGCHLD, or waits for all children itself.
        what = "supervisor"
        with suppress(OSError):
            what = (self._folder / "ended").read_text()
        raise LocalClusterFailed(f"its {what} {ENDS.get(what, ENDS['supervisor'])}", self._tail(what))

    def stop(self) -> None:
        """End the server and the worker, and remove the folder. Safe to call again; nothing in a forked child."""
        if os.getpid() != self._owner:
            return
        self._let_go(b".")
        try:
            self._supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()  # its children die with it, by the kernel's hand
            self._supervisor.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.home.remove()

    def _let_go(self, word: bytes = b"") -> None:
        """Close our end of the lifeline. The word tells of it also where another process has inherited this end."""
        lifeline = self._supervisor.stdin
        if lifeline is None or lifeline.closed:
            return
        with suppress(OSError):  # the supervisor has ended already
            lifeline.write(word)
            lifeline.flush()
        with suppress(OSError):
            lifeline.close()

    def _configure_supervisor(self) -> None:
        config = {
            "client": os.getpid(),
            "home": str(self.home.path),
            "server": self._server.command,
            "slots": self.slots,
            "path": interpreter.import_path(),
            "variables": interpreter.start_variables(),
            "env": {
                "MANYCORE_URL": self.url,
                "MANYCORE_KEY_FILE": str(self.key_file),
                "MANYCORE_LEASE_SECONDS": os.environ.get("MANYCORE_LEASE_SECONDS") or str(LEASE_SECONDS),
                "MANYCORE_RUN_FOLDER": str(self._folder),
                "MANYCORE_OBJECTS_FOLDER": str(self.home.path),
            },
        }
        write_private(self._folder / "cluster.json", json.dumps(config))

    def _start_supervisor(self) -> subprocess.Popen[bytes]:
        with (self._folder / "supervisor.log").open("wb") as log:
            return subprocess.Popen(
                interpreter.command("manycore.local.supervisor", str(self._folder)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=interpreter.environment() | {interpreter.STARTING: "1"},
                start_new_session=True,  # the terminal's Ctrl-C is for the client alone
            )

    def _tail(self, name: str) -> str:
        for log in (self._folder / f"{name}.log", self._folder / "supervisor.log"):
            if log.exists() and log.stat().st_size:
                return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return "(empty)"


ENDS = {
    "server": "ended",
    "worker": "ended each time that it was started",
    "supervisor": "was killed, or could not start (by the kernel's out-of-memory killer? see dmesg)",
}


def _make_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="manycore-")).absolute()  # TMPDIR may be "."
    except OSError as exc:
        raise LocalClusterFailed(
            f"there is no folder for its files: {_reason(exc)}. Next: make room there, or set TMPDIR to a folder that "
            "can be written to"
        ) from exc


def _make_home(folder: Path) -> Home:
    """Where large objects live: in shared memory, or where a setting says; at the worst in the cluster's own folder."""
    place = os.environ.get("MANYCORE_OBJECTS_FOLDER")
    said = os.environ.get("MANYCORE_OBJECTS_BYTES", "")
    limit = int(said) if said.isdecimal() else None  # what is wrong with it, the settings say
    wanted = Path(place) if place else home.default_place()
    home.sweep(wanted)
    try:
        return Home.make("local", wanted, limit)
    except OSError:
        return Home.make("local", folder, limit)


def _reason(exc: OSError) -> str:
    return exc.strerror or str(exc)


def _let_go_in_child() -> None:
    for cluster in list(_alive):
        cluster._let_go()


os.register_at_fork(after_in_child=_let_go_in_child)
