"""The outcomes of items that end together: no value each, and one error for all of them.

A batch that ends early may have any number of items left: these take the room of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import overload


class NoValues(Sequence[None]):
    """None, `count` times."""

    __slots__ = ("_places",)

    def __init__(self, count: int) -> None:
        self._places = range(count)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> None: ...

    @overload
    def __getitem__(self, place: slice) -> NoValues: ...

    def __getitem__(self, place: int | slice) -> NoValues | None:
        found = self._places[place]
        return NoValues(len(found)) if isinstance(found, range) else None

    def __iter__(self) -> Iterator[None]:
        return repeat(None, len(self._places))


class OneError(Mapping[int, BaseException]):
    """The same error at each of `count` offsets."""

    __slots__ = ("error", "offsets")

    def __init__(self, error: BaseException, count: int) -> None:
        self.error = error
        self.offsets = range(count)

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[int]:
        return iter(self.offsets)

    def __contains__(self, offset: object) -> bool:
        return offset in self.offsets

    def __getitem__(self, offset: int) -> BaseException:
        if offset not in self.offsets:
            raise KeyError(offset)
        return self.error
