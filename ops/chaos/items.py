"""What clients run: items with a known answer, and among them those that kill, leak, exit or hang.

An item's kind and its answer follow from its index and the seed, so the oracle needs no worker: `expected`. Each
execution is a line in a file, written with one `write` before the item does anything, and one more at its end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import cache
from hashlib import blake2b
from pathlib import Path
from time import monotonic_ns, perf_counter, sleep
from typing import Literal

Kind = Literal["normal", "kill", "exit", "segfault", "leave", "leak"]
POISON: frozenset[Kind] = frozenset(["kill", "exit", "segfault"])
POISON_EVERY, LEAVE_EVERY, LEAK_EVERY = 300, 150, 400
LEAK_BYTES = 24 * 1024 * 1024
HANG_SECONDS = 600
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 0.010
RUNS = "runs.log"
START, DEADLY, END, CAME = "start", "deadly", "end", "came"
"""What the lines of a log say: an execution begins, likewise of one that takes its process along, one is over; an
outcome is at its client."""
_leaked: list[bytes] = []


class Flaw(Exception):
    """What items raise that fail on purpose."""


def kind_of(seed: int, index: int) -> Kind:
    """Which kind the item of this index is; the rare kinds come at regular distances, never two on one index."""
    place = index + seed % POISON_EVERY
    if place % POISON_EVERY == POISON_EVERY // 2:
        return ("kill", "exit", "segfault")[(place // POISON_EVERY + seed) % 3]
    if place % LEAVE_EVERY == 20:
        return "leave"
    return "leak" if place % LEAK_EVERY == 60 else "normal"


def answer(seed: int, index: int) -> int:
    """What an item that comes to its end returns."""
    return int.from_bytes(blake2b(b"%d:%d" % (seed, index), digest_size=6).digest(), "big")


def expected(seed: int, index: int) -> str:
    """What the outcome of an item of `work` must be, as text: its value, or the name of its error."""
    kind = kind_of(seed, index)
    if kind in POISON:
        return "WorkerCrashed"
    return "SystemExit" if kind == "leave" else str(answer(seed, index))


def seconds_of(seed: int, index: int) -> float:
    """How long an item keeps its core busy."""
    share = answer(seed + 1, index) % 1000 / 1000
    return SHORTEST_SECONDS + share * (LONGEST_SECONDS - SHORTEST_SECONDS)


def work(index: int, *, seed: int, batch: str, folder: str, seconds: float | None = None) -> int:
    """An item of the mixed kinds."""
    kind = kind_of(seed, index)
    note(folder, DEADLY if kind in POISON else START, batch, index)
    spin(seconds_of(seed, index) if seconds is None else seconds)
    if kind not in POISON:
        note(folder, END, batch, index)
    misbehave(kind)
    return answer(seed, index)


def steady(index: int, *, seed: int, batch: str, folder: str, seconds: float | None = None) -> int:
    """An item that does no harm."""
    note(folder, START, batch, index)
    spin(seconds_of(seed, index) if seconds is None else seconds)
    note(folder, END, batch, index)
    return answer(seed, index)


def hang(index: int, *, batch: str, folder: str) -> int:
    """An item that never ends: it sleeps in C code and holds the GIL. A signal wakes it, if its thread gets it."""
    note(folder, DEADLY, batch, index)
    try:
        hang_in_c()
    finally:
        note(folder, END, batch, index)  # it was interrupted, and took no process along
    return index


def doze(index: int, *, batch: str, folder: str) -> int:
    """An item that never ends, but can be interrupted."""
    note(folder, START, batch, index)
    try:
        sleep(HANG_SECONDS)
    finally:
        note(folder, END, batch, index)
    return index


def flaky(index: int, *, seed: int, batch: str, folder: str, failures: int) -> int:
    """An item that fails the first times that it comes to its end; one with a negative number always does."""
    note(folder, START, batch, index)
    spin(seconds_of(seed, index))
    tries = Path(folder, f"{batch}-{index}.tries")
    append(str(tries), ".", keep=False)
    failed = tries.stat().st_size
    note(folder, END, batch, index)
    if failures < 0 or failed <= failures:
        raise Flaw(index)
    return answer(seed, index)


def spin(seconds: float) -> None:
    """Keep a core busy."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def hang_in_c() -> None:
    ctypes.PyDLL(None).usleep(HANG_SECONDS * 1_000_000)


def misbehave(kind: Kind) -> None:
    """What items of the rare kinds do."""
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "exit":
        os._exit(3)
    elif kind == "segfault":
        ctypes.string_at(0)
    elif kind == "leave":
        sys.exit(4)
    elif kind == "leak":
        _leaked.append(b"x" * LEAK_BYTES)


def note(folder: str, event: str, batch: str, index: int, log: str = RUNS) -> None:
    """Write a line. The clock is the machine's, the same for all processes."""
    append(str(Path(folder, log)), f"{event} {batch} {index} {os.getpid()} {monotonic_ns()}\n")


def append(path: str, line: str, *, keep: bool = True) -> None:
    """Add a line with one system call: many processes write, and any of them may be killed."""
    descriptor = _descriptor(path) if keep else _opened(path)
    os.write(descriptor, line.encode())
    if not keep:
        os.close(descriptor)


@cache
def _descriptor(path: str) -> int:
    return _opened(path)


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
