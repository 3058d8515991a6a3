"""Where a batch's items come from that are in memory, or were sent before.

An input that has to be pulled is for `pulled`; which is which, `inputs` decides. Calls of `submit` are in `waiting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeAlias

from manycore.client import chunking
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program

SLICED = (list, tuple, range)
"""Parts of these are cut out as they are."""
Taken: TypeAlias = tuple[Program, ItemOptions, Sequence[Any]]


class ReadySource:
    """An input of known length that is in memory: cut on demand, without a thread."""

    def __init__(
        self,
        items: Iterable[Any],
        total: int,
        program: Program,
        options: ItemOptions,
        *,
        chunksize: int | None = None,
        limit: Callable[[], int] | None = None,
        is_short: bool = False,
    ) -> None:
        """`is_short` says that all of it is expected to take no longer than a message."""
        self.total: int | None = total
        self.error: BaseException | None = None
        self.first_call = ""
        self._items = items if type(items) in SLICED else iter(items)
        self._at = 0
        """Written by whoever takes alone; `_closed` by whoever ends it, which may be meanwhile."""
        self._closed = False
        self._length = total
        self.program = program
        self._options = options
        self._is_short = is_short
        self._chunksize = chunksize
        self._limit = limit

    @property
    def _left(self) -> int:
        return 0 if self._closed else self._length - self._at

    def ready(self) -> bool:
        return self._left > 0 and self._space() > 0

    def exhausted(self) -> bool:
        return self._left == 0

    def next_size(self, slots: int, _seconds: float | None, bytes_per_item: float) -> int:
        slots = 1 if self._is_short else slots
        size = self._chunksize or chunking.chunk_items(self.total or 0, slots, bytes_per_item)
        return min(size, self._space())

    def _space(self) -> int:
        return self._left if self._limit is None else min(self._left, self._limit() - self._at)

    def take(self, most: int) -> Taken:
        held = self._items
        items = held[self._at : self._at + most] if isinstance(held, SLICED) else list(islice(held, most))
        self._at += len(items)
        if self._at == self._length:
            self._items = ()  # whoever has read a map, or holds a batch, need not hold its input
        self.first_call = self.first_call or (self.program.call(self._options.form, items[0]) if items else "")
        return self.program, self._options, items

    def start(self) -> None:
        """There is nothing to start: the items are there."""

    def more_room(self) -> None:
        """There is nobody to tell: `ready` looks at the limit itself."""

    @property
    def held_back(self) -> bool:
        return self._limit is not None

    def give_back(self, error: BaseException) -> None:
        self._items, self._closed = (), True

    def cut_off(self, error: BaseException) -> None:
        if self._left:
            self.error = error
        self.total = None
        self.give_back(error)


class SentSource:
    """The source of a batch that another client has sent whole: nothing is left to take."""

    error: BaseException | None = None
    first_call = ""
    held_back = False

    def __init__(self, total: int) -> None:
        self.total: int | None = total

    def ready(self) -> bool:
        return False

    def exhausted(self) -> bool:
        return True

    def take(self, most: int) -> Taken | None:
        return None

    def next_size(self, slots: int, seconds_per_item: float | None, bytes_per_item: float) -> int:
        return 1

    def start(self) -> None:
        """There is nothing to start."""

    def more_room(self) -> None:
        """There is nobody to tell."""

    def give_back(self, error: BaseException) -> None:
        """Nobody waits for anything that was not sent."""

    def cut_off(self, error: BaseException) -> None:
        """There is nothing to cut off: all was sent."""
