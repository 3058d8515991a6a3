"""Keeps the log of a local cluster's worker small: what items print goes there too, for as long as a notebook is open,
into a folder that nobody looks into. The server's own, to which nobody else writes, stays small by itself."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 16 << 20
KEPT_BYTES = 64 << 10
"""Of a longer one: more than what is shown of it when its worker has failed."""
NOTE = b"(manycore: of the %d bytes before this line the last are kept)\n"


def keep_small(log: Path) -> None:
    """Cut a log off at its head if it is longer than `MAX_BYTES`; else this is one system call.

    Who writes to it appends, and so goes on behind what is kept. What is written at that very moment may be lost.
    """
    with suppress(OSError):  # it is not there yet, or not any more
        if log.stat().st_size > MAX_BYTES:
            _cut(log)


def _cut(log: Path) -> None:
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, KEPT_BYTES, max(0, size - KEPT_BYTES))
        _, _, lines = tail.partition(b"\n")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, NOTE % size + (lines or tail))
    finally:
        os.close(descriptor)
