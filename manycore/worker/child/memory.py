"""A memory limit for each item: an allocation beyond it fails, which Python raises as `MemoryError` in the item.

It bounds what an item takes on top of what its process holds already, as private memory that can be written
(`RLIMIT_DATA`, getrlimit(2): the heap and anonymous mappings, so NumPy's arrays too), whether it is touched or not. C
code that cannot bear a failed allocation ends its process instead, and the item is blamed for that. Linux only, and
the main thread's items only: on the `io` fleet many share a process.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATM = Path("/proc/self/statm")
"""Sizes in pages; the sixth field is data + stack, proc(5)."""


@contextmanager
def memory_limit(max_bytes: int) -> Iterator[None]:
    """Let the enclosed item take at most `max_bytes` more than the process has when it begins."""
    if not STATM.exists() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    held = int(STATM.read_bytes().split()[5]) * resource.getpagesize()
    limit = held + max_bytes if before[1] == resource.RLIM_INFINITY else min(held + max_bytes, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        _restore(before)


def _restore(before: tuple[int, int]) -> None:
    """An item may have lowered the hard limit, for good: then as much of it as there is."""
    try:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
