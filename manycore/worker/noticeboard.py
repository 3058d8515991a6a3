"""What the parent of a worker tells its children, in memory that they share: nobody asks Redis, or the disk.

1. How many more messages it would take now. A child that knows that its neighbours have enough need not look at every
   tick whether the queue is empty.
2. That a slot has just fallen idle: one of the children that wait for it wakes, and shares what it has.
3. Whether other workers take from the same queues: theirs wake nobody here.
4. That the worker stops: whatever has not started goes back to its queue.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from mmap import PAGESIZE, mmap
from time import monotonic, sleep

IDLE, DRAINS, OTHERS = 0, 1, 2


class Noticeboard:
    """Made before the fork, and there as long as its worker. Of one that says nothing, a slot may be idle, there or
    elsewhere."""

    def __init__(self) -> None:
        self._notices = memoryview(mmap(-1, PAGESIZE)).cast("i")
        self._notices[IDLE] = self._notices[OTHERS] = 1
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)

    def say_idle(self, slots: int) -> None:
        """So many slots have nothing to do. Said by the parent alone."""
        were, self._notices[IDLE] = self._notices[IDLE], slots
        if slots > 0 >= were:
            self.wake_one()
        elif were > 0 >= slots:
            with suppress(BlockingIOError):  # nobody has to be called off
                os.read(self._woken, PAGESIZE)

    @property
    def any_idle(self) -> bool:
        """Whether a slot may have nothing to do."""
        return self._notices[IDLE] > 0

    def say_others(self, there_are: bool) -> None:
        """Whether other workers take from the queues of this one."""
        self._notices[OTHERS] = there_are

    @property
    def has_others(self) -> bool:
        """Whether a slot of another worker may have nothing to do."""
        return self._notices[OTHERS] > 0

    def wake_one(self) -> None:
        """Wake one of those that wait: a slot has fallen idle, or who woke of it has nothing to share."""
        with suppress(OSError):  # nobody has listened for long, or an item has closed it
            os.write(self._wakes, b"!")

    def wait_for_idle(self, seconds: float, stirred: int = -1) -> bool:
        """Whether a slot falls idle, and nobody else has woken of it; waits for that no longer than this, and not when
        the descriptor `stirred`, if there is one, is readable."""
        poll, deadline = select.poll(), monotonic() + seconds
        poll.register(self._woken, select.POLLIN)
        if stirred >= 0:
            poll.register(stirred, select.POLLIN)
        while (left := deadline - monotonic()) > 0:
            if ready := poll.poll(left * 1000):
                if any(descriptor == stirred for descriptor, _ in ready):
                    return False
                try:
                    os.read(self._woken, 1)
                    return True
                except BlockingIOError:
                    continue  # another child has read it
                except OSError:  # an item has closed what it did not open
                    sleep(left)
        return False

    def say_drain(self) -> None:
        """The worker takes no more messages."""
        self._notices[DRAINS] = 1

    @property
    def drains(self) -> bool:
        return self._notices[DRAINS] > 0
