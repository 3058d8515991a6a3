"""What the batch runs: items with a known answer, and among them those that kill, leak, exit or hang.

An item's kind and its answer follow from its index and the seed, so the oracle needs no worker: `expected`. Each
execution is one line in a file, written with one `write` before the item does anything.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import cache
from hashlib import blake2b
from pathlib import Path
from time import monotonic_ns, perf_counter
from typing import Literal

Kind = Literal["normal", "kill", "exit", "segfault", "leave", "leak", "hang"]
POISON: frozenset[Kind] = frozenset(["kill", "exit", "segfault"])
POISON_EVERY, LEAVE_EVERY, LEAK_EVERY = 300, 150, 400
LEAK_BYTES = 24 * 1024 * 1024
HANG_SECONDS = 600
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 0.010
RUNS = "runs.log"
_leaked: list[bytes] = []


def kind_of(index: int) -> Kind:
    """Which kind the item of this index is; the rare kinds come at regular distances, never two on one index."""
    if index % POISON_EVERY == POISON_EVERY // 2:
        return ("kill", "exit", "segfault")[index // POISON_EVERY % 3]
    if index % LEAVE_EVERY == 20:
        return "leave"
    return "leak" if index % LEAK_EVERY == 60 else "normal"


def answer(seed: int, index: int) -> int:
    """What an item that comes to its end returns."""
    return int.from_bytes(blake2b(b"%d:%d" % (seed, index), digest_size=6).digest(), "big")


def expected(seed: int, index: int) -> str:
    """What the outcome of an item must be, as text: its value, or the name of its error."""
    kind = kind_of(index)
    if kind in POISON:
        return "WorkerCrashed"
    return "SystemExit" if kind == "leave" else str(answer(seed, index))


def seconds_of(seed: int, index: int) -> float:
    """How long an item keeps its core busy."""
    share = answer(seed + 1, index) % 1000 / 1000
    return SHORTEST_SECONDS + share * (LONGEST_SECONDS - SHORTEST_SECONDS)


def work(index: int, *, seed: int, batch: str, folder: str, seconds: float | None = None) -> int:
    """An item of the main batch."""
    note_run(folder, batch, index)
    end = perf_counter() + (seconds_of(seed, index) if seconds is None else seconds)
    while perf_counter() < end:
        pass
    misbehave(kind_of(index))
    return answer(seed, index)


def hang(index: int, *, batch: str, folder: str) -> int:
    """An item that never ends: it sleeps in C code and holds the GIL, so that nothing in Python interrupts it."""
    note_run(folder, batch, index)
    ctypes.PyDLL(None).usleep(HANG_SECONDS * 1_000_000)
    return index


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


def note_run(folder: str, batch: str, index: int) -> None:
    """Note an execution. The clock is the machine's, the same for all processes."""
    append(str(Path(folder, RUNS)), f"{batch} {index} {os.getpid()} {monotonic_ns()}\n")


def append(path: str, line: str) -> None:
    """Add a line with one system call: many processes write, and any of them may be killed."""
    os.write(_descriptor(path), line.encode())


@cache
def _descriptor(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
