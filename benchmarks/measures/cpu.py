"""CPU that is not the user's: of all processes of a run, beyond what the items themselves burnt.

A run's processes are those with its mark in their environment, daemons too, and what these have started: a server
writes its title where its environment was. Their CPU time is read from their clock (clock_getcpuclockid(3) says how its
number is made), and of children that ended from `stat`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.measures.efficiency import GRAINS, Grain, of, tuned
from benchmarks.measures.reading import Reading
from benchmarks.peers.peer import Peer

MARK_VARIABLE = "BENCHMARK_RUN"
"""Set by whoever starts a peer's process and its server, to a value of this run alone."""
SCHEDULED = 2  # CPUCLOCK_SCHED of the kernel: user and system time in nanoseconds


def cpu(peer: Peer, scale: float = 1.0) -> list[Reading]:
    """For items of 1, 10 and 100 ms of CPU time, in percent of what they burnt."""
    return [_beyond(peer, grain, scale) for grain in GRAINS]


def marked(mark: str) -> list[int]:
    """The processes that carry this mark, and their children."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    parents = {int(path.name): _parent(path) for path in Path("/proc").glob("[0-9]*")}
    found = {pid for pid in parents if wanted in _variables(Path(f"/proc/{pid}/environ"))}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def cpu_seconds(mark: str) -> float:
    """What the marked processes and their reaped children have used until now."""
    return sum(map(_of_process, marked(mark)))


class Meter:
    """What the marked processes use from now on, without what it takes to look for them, which one of them does: its
    own clock is read after the first look, and before the second."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._others = self._of_others()
        self._own = _of_process(os.getpid())

    def read(self) -> float:
        """CPU seconds since it was made."""
        own = _of_process(os.getpid())
        return own - self._own + self._of_others() - self._others

    def _of_others(self) -> float:
        return sum(_of_process(pid) for pid in marked(self._mark) if pid != os.getpid())


def _beyond(peer: Peer, grain: Grain, scale: float) -> Reading:
    costs = [grain.seconds] * max(2, int(grain.count * peer.setup.workers * scale))
    mark, chunksize = os.environ.get(MARK_VARIABLE, ""), tuned(peer, grain.chunksizes)[-1]
    of(peer, costs[: max(2, len(costs) // 8)], chunksize)
    meter = Meter(mark)
    of(peer, costs, chunksize)
    used = meter.read()
    return Reading(f"CPU beyond {grain.label}", 100 * (used / sum(costs) - 1), f"{len(costs):,} items")


def _variables(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []  # it ended, or is somebody else's


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0  # it ended


def _of_process(pid: int) -> float:
    try:
        own = time.clock_gettime(~pid << 3 | SCHEDULED)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended, and is in its parent's account
    return own + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime and cstime, proc(5)
