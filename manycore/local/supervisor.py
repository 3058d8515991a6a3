"""The processes behind a local cluster: they start its server and its worker, restart the worker, and end both.

The first, the keeper, does nothing but wait for the second, the supervisor, which does the work. Each inherits the
orphans of what runs below it, and each ends all of it when the other is gone: so whatever items left behind ends with
the cluster, also when one of the two is killed. The worker is a copy of the supervisor: an interpreter that starts, and
what both import, would cost a tenth of a second more.

`FOLDER/cluster.json` says what to run. Standard input is a pipe from the client: when it says so or closes it, or dies,
everything stops. This imports neither Celery nor redis: it must be there first and cost nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from manycore.local.interpreter import STARTING
from manycore.local.lifeline import adopt_orphans, die_with_parent, end_descendants, show_as
from manycore.local.logfile import keep_small

POLL_SECONDS = 1.0
"""How often it looks although nobody has told it anything."""
MAX_FAILED_STARTS = 3
READY = "ready"
"""What a worker leaves in the folder once it takes work: one that ended before that did not start properly."""
WORKER_LOG = "worker.log"
LOCK = ".alive"
"""Of a home, as `protocol.home` has it; not from there, which costs more imports than all of this."""
MAX_DESCRIPTORS = 1024
"""More than a supervisor ever has."""
PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these itself, and gives them back to the programs that it starts."""


class IsWorker(BaseException):
    """Raised in the copy of the supervisor that is to become the worker."""


class Supervisor:
    """Holds the server and the worker of one local cluster."""

    def __init__(self, folder: Path, keeper: int) -> None:
        self._folder = folder
        self._keeper = keeper
        config: dict[str, Any] = json.loads((folder / "cluster.json").read_text())
        self._server_command: list[str] = config["server"]
        self._worker_env: dict[str, str] = config["env"]
        self._wanted_by = [sys.stdin.fileno(), *_handle(config["client"]), *_handle(keeper)]
        self._ended = _told_of_ends()
        self._failed_starts = 0

    def run(self) -> str | None:
        """Run until nobody wants it (None); else gives what could not be kept alive: the server or the worker."""
        # An unknown locale of the user's would end the server.
        locale = os.environ | {"LC_ALL": "C"}
        worker = self._start_worker()  # first: it takes longest
        server = self._start_server(locale)
        while self._wait() and os.getppid() == self._keeper:
            keep_small(self._folder / WORKER_LOG)
            ended = _reap()
            if server in ended:
                return "server"
            if worker in ended:
                if self._starts_in_vain():
                    return "worker"
                worker = self._start_worker()
        return None

    def _wait(self) -> bool:
        """Wait until a child has ended, not for long; False once nobody wants this any more."""
        ready = select.select([*self._wanted_by, self._ended], [], [], POLL_SECONDS)[0]
        if self._ended in ready:
            os.read(self._ended, 4096)
        return not set(ready) & set(self._wanted_by)

    def _starts_in_vain(self) -> bool:
        self._failed_starts = 0 if (self._folder / READY).exists() else self._failed_starts + 1
        return self._failed_starts >= MAX_FAILED_STARTS

    def _start_worker(self) -> int:
        """Its process. In the worker itself, raises `IsWorker`."""
        (self._folder / READY).unlink(missing_ok=True)
        own_pid = os.getpid()
        worker = os.fork()
        if worker == 0:
            self._become_worker(own_pid)
        return worker

    def _become_worker(self, parent: int) -> NoReturn:
        """Leave nothing of the supervisor in this copy of it."""
        die_with_parent(parent)
        show_as("manycore-worker")
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log = os.open(self._folder / WORKER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor, place in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(descriptor, place)
        os.closerange(3, MAX_DESCRIPTORS)
        os.environ.update(self._worker_env)
        raise IsWorker

    def _start_server(self, env: dict[str, str]) -> int:
        own_pid = os.getpid()

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            die_with_parent(own_pid)

        conf, log_path = self._folder / "server.conf", self._folder / "server.log"
        with log_path.open("ab") as log, conf.open("rb") as stdin:
            process = subprocess.Popen(
                self._server_command, env=env, stdin=stdin, stdout=log, stderr=log, preexec_fn=prepare
            )
        process.returncode = 0  # it is waited for here, with the orphans, and not by its object
        return process.pid


def main() -> int:
    """Keep the cluster of the folder given on the command line until nobody wants it; leave no process of it behind."""
    folder = Path(sys.argv[2])
    os.environ.pop(STARTING, None)  # an item may start a cluster of its own
    _forget_signals()
    adopt_orphans()
    home = _hold_home(folder)
    keeper = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        with suppress(IsWorker):
            os._exit(_supervise(folder, keeper, home))
        return _work()  # out here, or each item would run while that exception is handled, and its own would tell of it
    status = _wait_for(supervisor)
    end_descendants()
    shutil.rmtree(home, ignore_errors=True)  # both do it: one of them may have been killed
    if status == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _supervise(folder: Path, keeper: int, home: Path) -> int:
    adopt_orphans()  # a fork does not inherit it
    try:
        ended = Supervisor(folder, keeper).run()
    except IsWorker:
        raise
    except BaseException as exc:  # the boundary of this process: os._exit would say nothing
        sys.excepthook(type(exc), exc, exc.__traceback__)
        return 1
    # Everything is gathered or given up by now, and Celery's own shutdown would take seconds.
    end_descendants()
    shutil.rmtree(home, ignore_errors=True)
    if ended is None:
        return 0
    (folder / "ended").write_text(ended)
    return 1


def _work() -> int:
    """Run the worker. Its module is there only for it: it imports Celery."""
    boot = import_module("manycore.worker.boot")
    boot.main()
    return 0


def _hold_home(folder: Path) -> Path:
    """Where the large objects are: in shared memory, which outlives all processes. It is ours as long as we live."""
    config: dict[str, Any] = json.loads((folder / "cluster.json").read_text())
    home = Path(config["home"])
    with suppress(OSError):  # the client is gone, and has taken it along
        fcntl.flock(os.open(home / LOCK, os.O_RDONLY), fcntl.LOCK_SH)
    return home


def _wait_for(pid: int) -> int:
    """The exit code of our child `pid`, 128 and more for a signal; orphans that end meanwhile are reaped."""
    while True:
        found, status = os.wait()
        if found == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _reap() -> set[int]:
    """The children that have ended, orphans among them."""
    ended: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.add(pid)


def _forget_signals() -> None:
    """What the client ignores or blocks (SIGCHLD!) would be inherited by all that is started here."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals():
        if number not in PYTHON_IGNORES and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle; it closes the pipe


def _handle(process: int) -> list[int]:
    """What becomes readable when a process ends: the client, though a child that it forked holds on to its end of the
    pipe; or our keeper."""
    try:
        return [os.pidfd_open(process)]
    except ProcessLookupError:
        return [os.open(os.devnull, os.O_RDONLY)]  # it has ended already
    except (AttributeError, OSError):
        return []  # not Linux, or an old one: the pipe has to do


def _told_of_ends() -> int:
    """What becomes readable when a child has ended: nobody has to look ten times a second."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    return told
