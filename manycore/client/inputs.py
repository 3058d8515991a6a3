"""What a caller passes to `map` and `batch`, taken as it is at the call.

What is in memory is copied at once, its pointers only (1,000,000 items: 3 ms), so that a buffer can be cleared and
filled again. Anything else is an iterator, opened by the call itself and pulled later (`pulled`): what it goes
through must stay as it is meanwhile. Items themselves are pickled when they leave.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict, UserList, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat
from operator import length_hint
from typing import Any

from manycore.client.pulled import PulledSource
from manycore.client.sources import ReadySource
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program

ENDLESS = sys.maxsize
_FIXED = (tuple, range, str, bytes, frozenset)
_CHANGING = (list, dict, set, bytearray, deque, array, OrderedDict, memoryview)
_DICTS: tuple[dict[Any, Any], ...] = ({}, OrderedDict())
_VIEWS = [type(view) for held in _DICTS for view in (held.keys(), held.values(), held.items())]
_READY: tuple[Any, ...] = tuple(kind.__iter__ for kind in (*_FIXED, *_CHANGING, *_VIEWS))
"""To iterate over these cannot wait for anything; a subclass that does not change how is as good."""


@dataclass(frozen=True, slots=True)
class Input:
    """Items, how many if they are in memory, and how they may be cut and pulled."""

    items: Iterable[Any]
    length: int | None
    chunksize: int | None = None
    buffersize: int | None = None

    @classmethod
    def of(cls, *iterables: Iterable[Any], chunksize: int | None = None, buffersize: int | None = None) -> Input:
        """The items of one iterable, or those of several side by side. Raises what `iter` raises for one of them."""
        taken = [_taken(iterable) for iterable in iterables]
        lengths = [_length(items, mine, iterables) for items, mine in zip(taken, iterables, strict=True)]
        feeds = [iter(mine) if items is None else items for items, mine in zip(taken, iterables, strict=True)]
        items: Iterable[Any] = feeds[0] if len(feeds) == 1 else zip(*feeds, strict=False)
        length = None if None in lengths else min((found for found in lengths if found is not None), default=0)
        return cls(items, length if length != ENDLESS else None, chunksize, buffersize)

    def source(
        self,
        program: Program,
        options: ItemOptions,
        *,
        wake: Callable[[], None],
        limit: Callable[[], int],
        is_short: Callable[[Program, int], bool] = lambda _program, _items: False,
    ) -> ReadySource | PulledSource:
        """The source that feeds a lane; `limit`, how many items it may take by now, counts only with a `buffersize`."""
        bound = limit if self.buffersize is not None else None
        if self.length is None:
            return PulledSource(iter(self.items), program, options, wake=wake, chunksize=self.chunksize, limit=bound)
        return ReadySource(
            self.items,
            self.length,
            program,
            options,
            chunksize=self.chunksize,
            limit=bound,
            is_short=is_short(program, self.length),
        )


def _length(taken: Any, items: Any, all_of_them: tuple[Any, ...]) -> int | None:
    """How many there are, None if nobody knows. A `repeat`, the usual way to pass a constant, waits for nothing; passed
    twice, it shares what it has with itself."""
    if taken is not None:
        try:
            return len(taken)
        except OverflowError:  # a range that is longer than anything can be is pulled
            return None
    is_constant = type(items) is repeat and sum(other is items for other in all_of_them) == 1
    return length_hint(items, ENDLESS) if is_constant else None


def _taken(items: Any) -> Any:
    """What is in memory, with its length, as it is now; None for anything else."""
    kind: Any = type(items)
    if kind in _FIXED:
        return items
    iterate = getattr(kind, "__iter__", None)
    if any(iterate is ready for ready in _READY):
        return list(iter(items))  # by its iterator: a subclass may say anything of its length
    if isinstance(items, UserList) and iterate is UserList.__iter__ and kind.__getitem__ is UserList.__getitem__:
        return list(items.data)
    package = kind.__module__.partition(".")[0]
    if (package, kind.__name__) == ("numpy", "ndarray") and items.ndim:
        return items.copy()  # its rows, too, are views of what its owner may change
    if package == "pandas" and kind.__name__ in ("Series", "Index"):
        return list(iter(items))
    return None
