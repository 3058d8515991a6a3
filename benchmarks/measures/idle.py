"""What manycore costs while nothing is to be done: all its processes, and the client's, by the minute.

Twice: a cluster that nothing was asked of for a while, and one whose slots all wait in one long item, so that a batch
is open and its client waits for it. Wake-ups are how often a thread gave its core up by itself, so one of a wait that
runs out, too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from time import perf_counter, sleep

from benchmarks.measures.cpu import MARK_VARIABLE, Meter, marked
from benchmarks.measures.reading import Reading
from benchmarks.peers.peer import Peer
from benchmarks.workloads import nap

SECONDS = 12.0
"""Longer than any period of what comes by time."""
SETTLING_SECONDS = 3.0
"""For what follows a start, or an end, at its leisure."""
SWITCHES = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)


def idle(peer: Peer, seconds: float = SECONDS, settling: float = SETTLING_SECONDS) -> list[Reading]:
    """CPU and wake-ups a minute, idle and with an open batch."""
    sleep(settling)
    readings = _passed("idle", seconds)
    calls = [peer.submit(nap, seconds + 2 * settling) for _ in range(peer.setup.workers)]
    sleep(settling)
    readings += _passed("open batch", seconds)
    list(peer.results(calls))
    return readings


def wake_ups(mark: str) -> int:
    """How often all threads of the marked processes have waited until now; of threads that ended, nothing."""
    return sum(_of_thread(path) for pid in marked(mark) for path in Path(f"/proc/{pid}/task").glob("*/status"))


def _passed(what: str, seconds: float) -> list[Reading]:
    mark = os.environ.get(MARK_VARIABLE, "")
    woken = wake_ups(mark)
    meter, start = Meter(mark), perf_counter()
    sleep(seconds)
    used = meter.read()
    turns = wake_ups(mark) - woken
    minutes = (perf_counter() - start) / 60
    note = f"{seconds:g} s, all processes"
    return [Reading(f"CPU, {what}", 1e3 * used / minutes, note), Reading(f"wake-ups, {what}", turns / minutes, note)]


def _of_thread(path: Path) -> int:
    try:
        found = SWITCHES.search(path.read_text())
    except OSError:
        return 0  # it has ended
    return int(found[1]) if found else 0
