"""What one thread notes of lanes while others end them: nothing is kept of a lane that is over.

Who ends a lane has it forgotten afterwards. A note that is made after that would stay for ever, and so would the
items in it: it meets a lane that is over, and goes at once.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from manycore.client.lane import Lane

V = TypeVar("V")


class ByLane(Generic[V]):
    """One note for each lane."""

    def __init__(self) -> None:
        self._notes: dict[Lane, V] = {}

    def __bool__(self) -> bool:
        return bool(self._notes)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._notes

    def get(self, lane: Lane) -> V | None:
        return self._notes.get(lane)

    def keep(self, lane: Lane, note: V) -> V:
        """Note this; gives it back."""
        self._notes[lane] = note
        if lane.over:  # only now: whoever ends it later forgets it later
            self.take(lane)
        return note

    def take(self, lane: Lane) -> V | None:
        """What was noted, if anything was; it is forgotten."""
        return self._notes.pop(lane, None)
