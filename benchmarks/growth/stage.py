"""A server, a worker and what a client's environment needs to reach them: for studies of several clients."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.server import open_server
from manycore.protocol.signing import generate_key


@contextmanager
def open_stage(slots: int) -> Iterator[str]:
    """Start both, and set this process's environment; gives the server's URL."""
    with TemporaryDirectory(prefix="growth-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        url = stack.enter_context(open_server(Path(folder), dict(os.environ)))
        settings = {"URL": url, "KEY": generate_key(), "RUN_FOLDER": folder, "OBJECTS_FOLDER": folder}
        os.environ.update({f"MANYCORE_{name}": value for name, value in settings.items()})
        command = [sys.executable, "-m", "manycore.worker", "--slots", str(slots)]
        quiet = subprocess.DEVNULL
        worker = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            yield url
        finally:
            worker.terminate()
            worker.wait(30)
