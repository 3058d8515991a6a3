"""The items of a running chunk that have not been begun. Two threads share them without a lock.

The items' own thread takes from the left, the courier from the right: each is one atomic step of a deque, which holds
with and without the GIL. The courier holds back what is further ahead than Redis knows (`resume`); an items' thread
that has run out of what it may take asks for more. The other fields have one writer each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from manycore.protocol.message import Chunk


class Items:
    """Still packed, as they came. Whatever is given away comes off the end."""

    __slots__ = ("_held", "_offered", "_pending", "chunk", "given", "take")

    def __init__(self, chunk: Chunk, items: Iterable[Any]) -> None:
        self.chunk = chunk
        self._pending: deque[Any] = deque(items)
        self.take: Callable[[], Any] = self._pending.popleft
        """Of the items' thread: the next one; raises IndexError when none is left that may be begun."""
        self._held: deque[Any] = deque()
        """Behind those that may be begun. The courier's own."""
        self.given = 0
        """Written by the courier: how many it has given away."""
        self._offered: list[Any] = []
        """The courier's own: what it gave last."""

    def __len__(self) -> int:
        return len(self._pending) + len(self._held)

    @property
    def stop(self) -> int:
        """Where this run's positions end, seen what was given away."""
        return self.chunk.stop - self.given

    @property
    def begun(self) -> int:
        """The first position that can not have been begun."""
        return self.stop - len(self._held)

    def replace(self, position: int, item: Any) -> None:
        """Put something else in the place of an item, before any has been begun."""
        self._pending[position - self.chunk.start] = item

    def hold(self, count: int) -> int:
        """Let at most `count` items be taken for now. Says by how many that is too few."""
        while len(self._pending) > count:
            try:
                self._held.appendleft(self._pending.pop())
            except IndexError:
                break
        return max(0, min(count - len(self._pending), len(self._held)))

    def release(self, count: int) -> None:
        """Let so many more items be taken."""
        for _ in range(min(count, len(self._held))):
            self._pending.append(self._held.popleft())

    def give(self, count: int) -> Chunk | None:
        """Take up to `count` items off the end and describe them as a new chunk; None if none was left."""
        taken = self._offered = []
        while len(taken) < count:
            try:
                taken.append(self._held.pop() if self._held else self._pending.pop())
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
        self._held.extend(reversed(self._offered))
        self._offered = []

    def drop(self) -> None:
        """Let no further item begin."""
        self._pending.clear()
        self._held.clear()
