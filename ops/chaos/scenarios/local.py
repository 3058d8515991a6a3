"""The local cluster: its supervisor, its server or its worker is killed while a client submits, and no call hangs.

Of a supervisor or a server that died, every call ends with its answer or in `LocalClusterFailed`; a worker is started
again, and every call has its answer. Nothing of the cluster outlives its client: no process, no folder.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from json import loads
from pathlib import Path
from threading import Event
from time import monotonic

from manycore.local.lifeline import die_with_parent
from ops.chaos.aftermath import processes_of
from ops.chaos.load import STACKS_BYTES, STACKS_SECONDS
from ops.chaos.mix import Result
from ops.chaos.processes import Expired, children_of, wait_until
from ops.chaos.rig import ROOT
from ops.chaos.verdict import Verdict

CALLS = 3000
ENDED_SECONDS, GONE_SECONDS = 60.0, 10.0
TARGETS = ("supervisor", "server", "worker")
LOST = "LocalClusterFailed"


def local(seed: int, settings: Mapping[str, str], rounds: int) -> Result:
    """Kill each of the three `rounds` times, each time in a client of its own."""
    result = Result(Verdict(), [], {})
    started = monotonic()
    kill_local(result.verdict, seed, settings, rounds)
    result.chaos_seconds, result.chaos_items = monotonic() - started, CALLS * len(TARGETS) * rounds
    return result


def kill_local(verdict: Verdict, seed: int, settings: Mapping[str, str], rounds: int) -> None:
    """The same, as a part of a larger run."""
    dice = random.Random(seed)
    for target in TARGETS * rounds:
        with tempfile.TemporaryDirectory(prefix="manycore-chaos-") as folder:
            _Try(target, Path(folder), verdict).run(settings, early=dice.random() < 0.5)


class _Try:
    """One client with its cluster, one kill."""

    def __init__(self, target: str, folder: Path, verdict: Verdict) -> None:
        self._target = target
        self._folder = folder
        self._verdict = verdict
        self._tally = verdict.door("local")

    def run(self, settings: Mapping[str, str], *, early: bool) -> None:
        """Kill while the client submits (`early`), or while it waits."""
        self._tally.orders += 1
        self._tally.items += CALLS
        client = _start(self._folder, settings)
        try:
            wait_until((self._folder / "begun").exists, "the client submits", seconds=ENDED_SECONDS)
            victim = _find(self._target, int((self._folder / "begun").read_text()))
            if not early:
                wait_until((self._folder / "submitted").exists, "the client has submitted", seconds=ENDED_SECONDS)
            os.kill(victim, signal.SIGKILL)
            said = client.communicate(timeout=ENDED_SECONDS)[0]
            self._judge(client.returncode, said)
        except subprocess.TimeoutExpired:
            client.send_signal(signal.SIGUSR1)
            Event().wait(STACKS_SECONDS)
            self._tally.hung += 1
            self._fail(f"the client did not end:\n{self._log()}")
        finally:
            client.kill()
            client.wait()
        self._look_around()

    def _judge(self, code: int, said: bytes) -> None:
        if code:
            self._fail(f"the client ended with {code}:\n{self._log()}")
        counts = Counter(loads(said) if said else {})
        self._tally.lost += max(0, CALLS - counts.total())
        allowed = {"right"} if self._target == "worker" else {"right", LOST}
        wrong = {text: count for text, count in counts.items() if text not in allowed}
        self._tally.wrong += sum(wrong.values())
        if wrong:
            self._fail(f"its calls ended in {wrong}")

    def _look_around(self) -> None:
        try:
            wait_until(lambda: not processes_of(str(self._folder)), "every process is gone", seconds=GONE_SECONDS)
        except Expired:
            self._fail(f"{len(processes_of(str(self._folder)))} processes outlive their client")
        left = sorted(path.name for path in self._folder.glob("manycore-*"))
        if left:
            self._fail(f"its folder stays: {', '.join(left)}")

    def _fail(self, text: str) -> None:
        self._verdict.failures.append(f"after the local {self._target} was killed: {text}")

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-STACKS_BYTES:]


def _start(folder: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    own_pid = os.getpid()
    ambient = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
    chosen = {f"MANYCORE_{name.upper()}": value for name, value in settings.items()}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ops.chaos.local_client", str(folder), str(CALLS)],
            env=ambient | chosen | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=lambda: die_with_parent(own_pid),
        )


def _find(target: str, supervisor: int) -> int:
    """The process to kill. The worker starts after the server, and a client submits before it is there."""
    if target == "supervisor":
        return supervisor
    mark = b"manycore-worker" if target == "worker" else b"-server"

    def found() -> list[int]:
        return [pid for pid in _descendants(supervisor) if mark in _name(pid)]

    wait_until(found, f"the supervisor {supervisor} has a {target}", seconds=ENDED_SECONDS)
    return found()[0]


def _descendants(pid: int) -> list[int]:
    return [found for child in children_of(pid) for found in (child, *_descendants(child))]


def _name(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes()
    except OSError:
        return b""  # it has just ended
