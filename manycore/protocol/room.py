"""How much room large objects may take where they lie, unless a setting says it; and the wait for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TypeVar

from manycore.errors import ObjectStoreFull

T = TypeVar("T")
SHARE_OF_MEMORY = 2
"""By default, objects take at most this part (half) of the memory or file system that they live in."""


def default_bytes(path: Path) -> int:
    """Half of the place at `path`, and of our memory."""
    held = os.statvfs(path)
    return min(held.f_blocks * held.f_frsize, *_memory_limits()) // SHARE_OF_MEMORY


def await_room(step: Callable[[], T], seconds: float, pause: Callable[[], bool]) -> T:
    """Take `step`, which needs room, again after a `pause` while there is none.

    Raises `ObjectStoreFull` after so many seconds, once `pause` says so, and at once for what is larger than the whole.
    """
    deadline = monotonic() + seconds
    while True:
        try:
            return step()
        except ObjectStoreFull as exc:
            _, size, _, whole = exc.args
            if size > whole or monotonic() >= deadline or pause():
                raise


def _memory_limits() -> Iterator[int]:
    """Of this process's control group, version 2 or 1, and of the machine."""
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            yield int(Path(file).read_text())
