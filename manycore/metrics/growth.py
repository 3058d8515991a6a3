"""Totals that only grow, made of numbers that come and go: batches are forgotten by Redis, workers start anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
MAX_LABELS = 200
"""Of task names: what there is beyond counts as `OTHER`."""
OTHER = "(other)"


class Growth(Generic[K]):
    """Adds up by how much each of many counters has grown.

    One that is smaller than it was has begun anew, if `restarts`; else it was set right, and grows from there.
    """

    def __init__(self, *, restarts: bool) -> None:
        self._restarts = restarts
        self.totals: dict[K, float] = defaultdict(float)
        self._last: dict[tuple[Hashable, K], float] = {}

    def take(self, counters: Mapping[Hashable, Mapping[K, float]]) -> None:
        """Take in what each source (a batch, a worker) counts now; those that are gone have counted their last."""
        now = {(source, name): value for source, counted in counters.items() for name, value in counted.items()}
        for place, value in now.items():
            before = self._last.get(place, 0.0)
            self.totals[place[1]] += value - before if value >= before else value * self._restarts
        self._last = now


class Labels:
    """Gives the first so many names to themselves: a label of Prometheus must not be without bounds."""

    def __init__(self, most: int = MAX_LABELS) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """What each of these names is called."""
        return {name: self._one(name) for name in names}

    def _one(self, name: str) -> str:
        if name not in self._known and len(self._known) < self._most:
            self._known.add(name)
        return name if name in self._known else OTHER
