"""How many more messages a worker would take now: its parent says, its children read, and nobody asks Redis.

A child that knows that its neighbours have enough need not look at every tick whether the queue is empty.
"""

from __future__ import annotations

from mmap import PAGESIZE, mmap


class Idleness:
    """Made before the fork, and shared by all processes of a worker. Of one that says nothing, a slot may be idle."""

    def __init__(self) -> None:
        self._count = memoryview(mmap(-1, PAGESIZE)).cast("i")
        self.say(1)

    def say(self, slots: int) -> None:
        """So many slots have nothing to do."""
        self._count[0] = slots

    @property
    def any(self) -> bool:
        """Whether a slot may have nothing to do."""
        return self._count[0] > 0
