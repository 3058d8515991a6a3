"""The bytes of an open file: mapped, or copied where a mapping costs more than it saves.

Before Python 3.13 a mapping keeps a descriptor, of which a process often has a thousand for all that it does. So what
is small is copied, which is faster, too; and so is all once half of them are taken.
"""

from __future__ import annotations

import mmap
import resource
import sys
from contextlib import suppress
from typing import Any

MADV_POPULATE_READ = 22
"""Of Linux 5.14 and later, madvise(2): it maps all pages at once, at a third of what a fault for each of them costs."""
MAPPED_AT_ONCE_BYTES = 16 * 1024 * 1024
"""Of a private mapping, which is one item's alone, and of which the item may want little."""
COPIED_BYTES = 64 * 1024
_WITHOUT_DESCRIPTOR: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


def bytes_of(descriptor: int, size: int, *, private: bool) -> memoryview:
    """All bytes of the file; with `private` they can be written to, and nobody else sees it. Raises `MemoryError`."""
    if size <= COPIED_BYTES or (not _WITHOUT_DESCRIPTOR and _are_few(descriptor)):
        return _copied(descriptor, size, private=private)
    try:
        access = mmap.ACCESS_COPY if private else mmap.ACCESS_READ
        held = mmap.mmap(descriptor, size, access=access, **_WITHOUT_DESCRIPTOR)
    except OSError as exc:  # beyond a limit of the process's memory
        raise MemoryError(f"{size:,} bytes cannot be mapped: {exc.strerror}") from exc
    if not private or size <= MAPPED_AT_ONCE_BYTES:
        with suppress(OSError):
            held.madvise(MADV_POPULATE_READ)
    return memoryview(held)


def _are_few(descriptor: int) -> bool:
    """Whether so many are open already: a new one is the lowest that is free."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft != resource.RLIM_INFINITY and descriptor >= soft // 2


def _copied(descriptor: int, size: int, *, private: bool) -> memoryview:
    view = memoryview(bytearray(size))
    left = view
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        while left and (count := file.readinto(left)):
            left = left[count:]
    return view if private else view.toreadonly()
