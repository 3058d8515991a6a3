"""Waits for a file's lock, not for ever; and lets go of it where it ends, whoever else has the file open.

`flock` is of the open file, which a process that is forked meanwhile shares: to close ours would leave the lock to that
one, for as long as it lives. What a process holds for its whole life is no concern of this: there, that is wanted.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

POLL_SECONDS = 0.005


@contextmanager
def unlocking(descriptor: int) -> Iterator[None]:
    """Let go of whatever lock of this open file is taken meanwhile; not where a forked process leaves the block."""
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_locked_within(descriptor: int, seconds: float) -> bool:
    """Take the lock of this open file, waiting for it no longer than this, or not at all; say whether it is ours."""
    deadline = monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if monotonic() >= deadline:
                return False
            sleep(POLL_SECONDS)
        else:
            return True
