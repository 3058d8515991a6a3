"""The bell of a queue: who puts a message in rings it, and one of the workers that wait for it wakes.

A worker takes a message and records it in one step, which only a script can do, and a script cannot wait. A bell is a
hint, no more: who waits looks every second all the same.
"""

from __future__ import annotations

from typing import Any

from manycore.protocol import keys
from manycore.protocol.script import Script

RING = Script(__package__, "ring")


def rung(queue: str) -> tuple[Any, ...]:
    """The arguments of `EVAL` that ring it: the whole script, for one that is not known would be a lost message."""
    return RING.whole([keys.bell(queue)], [keys.BELL_TTL_SECONDS])
