"""Lets go of a file's lock where it ends, whoever else has the file open.

`flock` is of the open file, which a process that is forked meanwhile shares: to close ours would leave the lock to that
one, for as long as it lives. What a process holds for its whole life is no concern of this: there, that is wanted.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unlocking(descriptor: int) -> Iterator[None]:
    """Let go of whatever lock of this open file is taken meanwhile; not where a forked process leaves the block."""
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
