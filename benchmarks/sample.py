"""One sample: a peer in a setting, in a process and on a server of its own, for one measure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from uuid import uuid4

from benchmarks.environments import python_of
from benchmarks.measures.cpu import MARK_VARIABLE, marked
from benchmarks.measures.reading import Reading
from benchmarks.peers.roster import PEERS
from benchmarks.server import open_server

TIMEOUT_SECONDS = 150.0
LEAVE_SECONDS = 1.0
"""For what a peer started to be gone, once its client is; then it is killed."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A row of the table: a peer at its default, or at its best setting."""

    peer: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What came of it: readings, or why there are none. `failed` tells a fault from a way it does not have."""

    readings: tuple[Reading, ...] = ()
    reason: str = ""
    failed: bool = False


def take(entry: Entry, measure: str, workers: int, miniature: bool = False) -> Sample:
    """Start the peer, measure, and leave nothing of it behind."""
    python = python_of(entry.peer)
    if python is None:
        return Sample(reason="not installed")
    with TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder, marked_run() as environment:
        needs_server = PEERS[entry.peer].needs_server and measure != "import"
        server = open_server(Path(folder), environment) if needs_server else nullcontext("")
        with server as url:
            out = Path(folder) / "sample.json"
            flags = ["--best"] * entry.best + ["--miniature"] * miniature
            command = [str(python), "-m", "benchmarks.peers.process", entry.peer, measure, *flags]
            command += ["--workers", str(workers), "--url", url, "--out", str(out), "--began", str(monotonic())]
            return _outcome(command, environment, out)


def _outcome(command: list[str], environment: dict[str, str], out: Path) -> Sample:
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        command, env=environment, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, said = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Sample(reason=f"no answer within {TIMEOUT_SECONDS:.0f} s", failed=True)
        except BaseException:  # Ctrl-C is not for the peer's session
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if not out.exists():
        last = (said.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Sample(reason=last[:300], failed=True)
    came = json.loads(out.read_text())
    readings = tuple(Reading(**reading) for reading in came.get("readings", ()))
    return Sample(readings, came.get("cannot") or came.get("failed", ""), "failed" in came)


@contextmanager
def marked_run() -> Iterator[dict[str, str]]:
    """An environment whose processes are known by its mark; those that are left in the end are killed."""
    mark = uuid4().hex
    try:
        yield os.environ | {MARK_VARIABLE: mark, "PYTHONDONTWRITEBYTECODE": ""}
    finally:
        deadline = monotonic() + LEAVE_SECONDS
        while left := marked(mark):
            if monotonic() > deadline:
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            sleep(0.02)
