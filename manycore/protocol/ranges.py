"""A set of non-negative integers kept as disjoint ranges: which items of a batch are already answered.

Adding is what deduplicates outcomes: the first one wins. Ten million answered items cost one range, not ten million
entries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class RangeSet:
    """Integers as sorted, disjoint, non-adjacent ranges `[start, stop)`."""

    __slots__ = ("_count", "_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, value: int) -> bool:
        place = bisect_right(self._starts, value) - 1
        return place >= 0 and value < self._stops[place]

    def add(self, start: int, stop: int) -> list[range]:
        """Add `[start, stop)` and give back the parts of it that were not yet in the set, in order."""
        if start >= stop:
            return []
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        fresh = self._gaps(start, stop, first, last)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]
        self._count += sum(map(len, fresh))
        return fresh

    def missing(self, start: int, stop: int) -> list[range]:
        """The parts of `[start, stop)` that are not in the set, in order."""
        return self._gaps(start, stop, bisect_left(self._stops, start), bisect_right(self._starts, stop))

    def common(self, start: int, stop: int) -> list[range]:
        """The parts of `[start, stop)` that are in the set, in order."""
        if start >= stop:
            return []
        first, last = bisect_right(self._stops, start), bisect_left(self._starts, stop)
        held = zip(self._starts[first:last], self._stops[first:last], strict=True)
        return [range(max(start, at), min(stop, end)) for at, end in held]

    def _gaps(self, start: int, stop: int, first: int, last: int) -> list[range]:
        gaps = []
        for taken_start, taken_stop in zip(self._starts[first:last], self._stops[first:last], strict=True):
            if start < taken_start:
                gaps.append(range(start, min(taken_start, stop)))
            start = max(start, taken_stop)
        if start < stop:
            gaps.append(range(start, stop))
        return gaps
