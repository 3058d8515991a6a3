"""A memory limit for each item: an allocation beyond it fails, which Python raises as `MemoryError` in the item.

It bounds what an item takes on top of what its process holds already, as private memory that can be written
(`RLIMIT_DATA`, getrlimit(2): the heap and anonymous mappings, so NumPy's arrays too), whether it is touched or not. C
code that cannot bear a failed allocation ends its process instead, and the item is blamed for that. Linux only, and
the main thread's items only: on the `io` fleet many share a process.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATM = Path("/proc/self/statm")
"""Sizes in pages; the sixth field is data + stack, proc(5)."""


def bounded(call: Callable[[Any], Any], max_bytes: int) -> Callable[[Any], Any]:
    """Let each call take at most `max_bytes` more than the process has when it begins."""
    if not STATM.exists() or threading.current_thread() is not threading.main_thread():
        return call
    page = resource.getpagesize()

    def within(item: Any) -> Any:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        held = int(STATM.read_bytes().split()[5]) * page
        limit = held + max_bytes if before[1] == resource.RLIM_INFINITY else min(held + max_bytes, before[1])
        resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
        try:
            return call(item)
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)

    return within
