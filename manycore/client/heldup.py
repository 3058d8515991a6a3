"""Cuts whose rest waits for room: an argument too large for a message lies in shared memory, or nowhere.

The dispatcher goes on with the other lanes meanwhile. Room comes free as items end; while nothing of its lane is out, a
rest waits as long as `put` does, and then its first item is refused.
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import NamedTuple

from manycore.client.bylane import ByLane
from manycore.client.lane import Lane
from manycore.client.objects import Objects
from manycore.client.passage import Cut

LOOK_SECONDS = 0.05


class _Rest(NamedTuple):
    cut: Cut
    needed_bytes: int
    tried_at: float


class HeldUp:
    """Of one dispatcher. Its thread holds and takes; who wakes it asks."""

    def __init__(self, objects: Objects, seconds: float) -> None:
        self._objects = objects
        self._seconds = seconds
        self._rests = ByLane[_Rest]()
        self._idle_since = ByLane[float]()

    def __bool__(self) -> bool:
        return bool(self._rests)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._rests

    def may_go(self, lane: Lane) -> bool:
        """Whether to try again. Not at once, whatever is said of the room: a file system can be full before that."""
        rest = self._rests.get(lane)
        if rest is None or lane.state != "open" or monotonic() < rest.tried_at + LOOK_SECONDS:
            return False
        return self.in_vain(lane) or self._objects.has_room(rest.needed_bytes)

    def in_vain(self, lane: Lane) -> bool:
        """Whether nothing of this lane, which has waited for room before, has been out for as long as one waits."""
        if lane.ledger.open_chunks:
            self._idle_since.keep(lane, monotonic())
            return False
        since = self._idle_since.get(lane)
        if since is None:
            since = self._idle_since.keep(lane, monotonic())
        return monotonic() > since + self._seconds

    def hold(self, lane: Lane, cut: Cut, position: int, needed_bytes: int) -> None:
        """Keep what is left of a cut from `position` on."""
        if position < len(cut.items):
            rest = replace(cut, first=cut.first + position, items=cut.items[position:])
            self._rests.keep(lane, _Rest(rest, needed_bytes, monotonic()))

    def take(self, lane: Lane) -> Cut | None:
        """What was kept, if anything was."""
        rest = self._rests.take(lane)
        return rest.cut if rest is not None else None

    def has_sent(self, lane: Lane) -> None:
        """Something of it is out now: if it waits again, it waits anew."""
        self._idle_since.take(lane)

    def forget(self, lane: Lane) -> None:
        """The lane is over."""
        self._rests.take(lane)
        self._idle_since.take(lane)
