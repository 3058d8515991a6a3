"""Lets the suspects of one worker run one at a time: a death that several were claimed for would name the wrong ones.

What is claimed before its turn is blamed if the whole worker dies. Slots that share their fate (the threads of one
process, the processes of one container) should therefore not have two such items under way. On threads, where every
crash is a whole worker's, an item that cannot have its turn alone in time comes again later; in a process of its own it
runs all the same, since its own death names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manycore.protocol.unlocking import is_locked_within, unlocking

WAIT_SECONDS = 5.0
MAX_WAITS = 20
"""Each takes a lease. A suspect that has come so often while others kept the worker busy runs beside them: an item
without an end must not hold up the others for ever."""


@contextmanager
def alone(folder: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[bool]:
    """Whether no other suspect of the worker with this folder runs meanwhile. The kernel lets go of it at a death."""
    with (folder / "suspect").open("a") as file, unlocking(file.fileno()):
        yield is_locked_within(file.fileno(), wait_seconds)
