"""The process behind a local cluster: starts its server and its worker, restarts the worker, ends both with itself.

`python -m manycore.local.supervisor FOLDER` reads `FOLDER/cluster.json`. Its standard input is a pipe from the
client: when that closes, because the client closed it or died, everything stops. It imports neither Celery nor redis:
it must be there first and cost nothing.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from manycore.local.lifeline import die_with_parent

POLL_SECONDS = 0.1
MIN_LIFE_SECONDS = 3.0
"""A worker that lives shorter than this did not start properly."""
MAX_FAILED_STARTS = 3


class Supervisor:
    """Holds the server and the worker of one local cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        config: dict[str, Any] = json.loads((folder / "cluster.json").read_text())
        self._server_command: list[str] = config["server"]
        self._worker_command: list[str] = config["worker"]
        self._worker_env: dict[str, str] = os.environ | config["env"]
        self._log = (folder / "worker.log").open("ab")
        self._failed_starts = 0

    def run(self) -> int:
        """Run until the client is gone (0), the server dies (1), or the worker cannot be kept alive (2)."""
        server = self._start(self._server_command, dict(os.environ), self._folder / "server.log")
        worker = self._start_worker()
        try:
            while not _closed(sys.stdin.fileno(), POLL_SECONDS):
                if server.poll() is not None:
                    return 1
                if worker.poll() is not None:
                    self._failed_starts = (
                        0 if monotonic() - self._started > MIN_LIFE_SECONDS else self._failed_starts + 1
                    )
                    if self._failed_starts >= MAX_FAILED_STARTS:
                        return 2
                    worker = self._start_worker()
            return 0
        finally:
            # Everything is gathered or given up by now, and Celery's own shutdown would take seconds. The worker's
            # children die with it (`lifeline`).
            for process in (worker, server):
                process.kill()
                process.wait()

    def _start_worker(self) -> subprocess.Popen[bytes]:
        self._started = monotonic()
        return self._start(self._worker_command, self._worker_env, self._folder / "worker.log")

    def _start(self, command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        own_pid = os.getpid()
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=lambda: die_with_parent(own_pid),
            )


def _closed(descriptor: int, seconds: float) -> bool:
    """Whether the pipe's other end is closed, after waiting `seconds` for it."""
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return bool(readable) and not os.read(descriptor, 1024)


def main() -> int:
    """Supervise the cluster in the folder given on the command line, and leave no file of it behind."""
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle; it closes the pipe
    code = Supervisor(folder).run()
    if code == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
