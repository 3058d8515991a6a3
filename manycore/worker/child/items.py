"""The items of a running chunk that have not been begun. Two threads share them without a lock.

The items' own thread takes from the left, the courier from the right: each is one atomic step of a deque, which holds
with and without the GIL. The other fields have one writer each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from manycore.protocol.message import Chunk


class Items:
    """Still packed, as they came. Whatever is given away comes off the end."""

    __slots__ = ("_offered", "_pending", "chunk", "given", "take")

    def __init__(self, chunk: Chunk, items: Iterable[Any]) -> None:
        self.chunk = chunk
        self._pending: deque[Any] = deque(items)
        self.take: Callable[[], Any] = self._pending.popleft
        """Of the items' thread: the next one; raises IndexError when none is left."""
        self.given = 0
        """Written by the courier: how many it has given away."""
        self._offered: list[Any] = []
        """The courier's own: what it gave last."""

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def stop(self) -> int:
        """Where this run's positions end, seen what was given away."""
        return self.chunk.stop - self.given

    def give(self, count: int) -> Chunk | None:
        """Take up to `count` items off the end and describe them as a new chunk; None if none was left."""
        taken = self._offered = []
        while len(taken) < count:
            try:
                taken.append(self._pending.pop())
            except IndexError:
                break
        if not taken:
            return None
        stop = self.stop
        self.given += len(taken)
        return self.chunk.part(stop - len(taken), stop)

    def keep(self) -> None:
        """Take back what was last given: it could not be sent."""
        self.given -= len(self._offered)
        self._pending.extend(reversed(self._offered))
        self._offered = []

    def drop(self) -> None:
        """Let no further item begin."""
        self._pending.clear()
