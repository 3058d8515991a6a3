"""What the measured calls do. The answers are known, so that each measurement checks what it gathered.

A `spin` takes its seconds of wall time. It ends on time also when somebody else takes its core away, or the GIL, and so
forgives all work that an executor does beside it. A `burn` takes its seconds of CPU time and forgives nothing, nor the
neighbours of a shared machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from time import perf_counter, sleep, thread_time
from typing import Any

MIB = 1 << 20


def noop(item: int) -> int:
    """Nothing: what is left is the cost of sending and gathering."""
    return item


def echo(item: bytes) -> bytes:
    """Nothing, at the cost of carrying `item` both ways."""
    return item


def size_of(value: bytes, item: int) -> int:
    """Next to nothing, of a value that many items share."""
    return len(value) + item


_KEPT: list[bytes] = []


def keep(value: bytes) -> None:
    """For initializers: what all calls of a process share."""
    _KEPT[:] = [value]


def size_of_kept(item: int) -> int:
    """As `size_of`, of what was kept."""
    return size_of(_KEPT[0], item)


def spin(seconds: float) -> float:
    """Keep the core busy for so much wall time."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass
    return seconds


def burn(seconds: float) -> float:
    """Keep the core busy until this thread has got so much CPU time."""
    end = thread_time() + seconds
    while thread_time() < end:
        pass
    return seconds


def process_after(seconds: float) -> int:
    """The process that ran this call, once it has spun for `seconds`."""
    spin(seconds)
    return os.getpid()


def nap(seconds: float) -> float:
    """Wait, at no cost of CPU time."""
    sleep(seconds)
    return seconds


def process_after_nap(seconds: float) -> int:
    """The process that ran this call, once it has waited for `seconds`."""
    sleep(seconds)
    return os.getpid()


def each(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """A list of calls as one call: the batching that people make by hand."""
    return [function(item) for item in items]


BY_NAME: dict[str, Callable[[Any], Any]] = {
    function.__name__: function for function in (noop, echo, spin, burn, nap, process_after)
}


def one(name: str, item: Any) -> Any:
    """One of the functions above, for those who send names rather than functions."""
    return BY_NAME[name](item)


def many(name: str, items: list[Any]) -> list[Any]:
    """As `each`, by name."""
    return each(BY_NAME[name], items)


def pareto_seconds(count: int, seed: int) -> list[float]:
    """Heavy-tailed costs: half of them below 1 ms, the longest 400 ms. The same list for the same seed."""
    draw = Random(seed).paretovariate
    return [min(0.0005 * draw(1.0), 0.4) for _ in range(count)]


def payloads(count: int, size_bytes: int) -> list[bytes]:
    """Random bytes, which do not compress, and of which no two are one object."""
    draw = Random(8).randbytes
    distinct = [draw(size_bytes) for _ in range(8)]
    return [distinct[index % 8][:-1] + bytes([index % 256]) for index in range(count)]
