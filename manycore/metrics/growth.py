"""Totals that only grow, made of numbers that come and go: batches are forgotten by Redis, workers start anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
MAX_SOURCES = 20_000
"""That are remembered: more than there are accounts at a time. Who was told of longest ago is forgotten first; a worker
that stood still comes back with what it had counted before."""
MAX_LABELS = 200
"""Of task names: what there is beyond counts as `OTHER`."""
MAX_LABEL = 200
"""Characters."""
OTHER = "(other)"


class Growth(Generic[K]):
    """Adds up by how much each of many counters has grown since the first look, which only says where they stand:
    else each start of the exporter would show as growth.

    One that is smaller than it was has begun anew, if `restarts`; else it was set right, and grows from there.
    """

    def __init__(self, *, restarts: bool) -> None:
        self._restarts = restarts
        self._totals: dict[K, float] = defaultdict(float)
        self._last: dict[Hashable, Mapping[K, float]] = {}
        self._new: set[K] = set()
        self._looked = False

    def take(self, counters: Mapping[Hashable, Mapping[K, float]]) -> None:
        """Take in what each source (a batch, a worker) counts now; one that is left out counts what it did before."""
        known = set(self._totals)
        for source, counted in counters.items():
            before = self._last.pop(source, {})  # and so the last of its order
            for name, value in counted.items():
                self._totals[name] += self._grown(before.get(name, 0.0), value) if self._looked else 0.0
            self._last[source] = counted
        self._new, self._looked = set(self._totals) - known, True
        for source in list(self._last)[:-MAX_SOURCES]:
            del self._last[source]

    def totals(self) -> dict[K, float]:
        """What has come together. A name begins at 0, at its first look: Prometheus sees growth between samples."""
        return {name: 0.0 if name in self._new else total for name, total in self._totals.items()}

    def _grown(self, before: float, value: float) -> float:
        return value - before if value >= before else value * self._restarts


class Labels:
    """Gives the first so many names to themselves: a label of Prometheus must not be without bounds."""

    def __init__(self, most: int = MAX_LABELS) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """What each of these names is called."""
        return {name: self._one(name[:MAX_LABEL]) for name in names}

    def _one(self, name: str) -> str:
        if name not in self._known and len(self._known) < self._most:
            self._known.add(name)
        return name if name in self._known else OTHER
