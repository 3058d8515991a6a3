"""The embedded server, for the peers that need one: as a local cluster has it, on a loopback port of its own.

Without a title of its own, which it would write over the mark in its environment (`measures.cpu`).
"""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from manycore.local.server import server_binary

START_SECONDS = 10.0
CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
save ""
appendonly no
set-proc-title no
maxmemory-policy noeviction
"""


@contextmanager
def open_server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Start one, empty; gives its URL. Raises `RuntimeError` if it does not accept connections soon."""
    port, password = _free_port(), secrets.token_urlsafe(16)
    config = CONFIG.format(port=port, password=password, folder=folder)
    command, quiet = [server_binary(), "-"], subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, text=True, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write(config)
        process.stdin.close()
        try:
            _wait(port)
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    deadline = monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if monotonic() > deadline:
            raise RuntimeError(f"the embedded server does not accept connections within {START_SECONDS:.0f} s")
        sleep(0.005)
