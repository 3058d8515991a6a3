"""Where a batch's outcomes go: into the futures of `submit`, or into an inbox that a caller reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future as ThreadFuture
from typing import Any

from manycore.client.future import settle
from manycore.client.locks import Rank, RankedLock
from manycore.client.passage import Arrival


class FutureSink:
    """Completes the futures that `submit` gave out, by index."""

    def __init__(self, futures: dict[int, ThreadFuture[Any]]) -> None:
        self._futures = futures

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            self._deliver(arrival)

    def _deliver(self, arrival: Arrival) -> None:
        take, errors = self._futures.pop, arrival.errors
        for offset, value in enumerate(arrival.values):
            future = take(arrival.start + offset, None)
            if future is None:
                continue  # the lane has failed meanwhile, and the future with it
            if offset in errors:
                settle(future, errors[offset])
            else:
                settle(future, None, value)

    def fail(self, error: BaseException) -> None:
        while self._futures:
            _, future = self._futures.popitem()
            settle(future, error)

    def finish(self) -> None:
        """Nothing is left to do: each future was completed by its own outcome."""


class Inbox:
    """Collects arrivals until they are read; readers wait on `changed`, which guards everything here."""

    def __init__(self) -> None:
        self.changed = threading.Condition(RankedLock(Rank.LEAF))  # type: ignore[arg-type]
        self.arrivals: list[Arrival] = []
        self.by_start: dict[int, Arrival] = {}
        self.error: BaseException | None = None
        self.finished = False

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        with self.changed:
            self._keep(arrivals)
            self.changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self.changed:
            self.error = error
            self.changed.notify_all()

    def finish(self) -> None:
        with self.changed:
            self.finished = True
            self.changed.notify_all()

    def _keep(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals


class OrderedInbox(Inbox):
    """Collects arrivals by their first index, for a reader that takes them in order and drops what it has read."""

    def _keep(self, arrivals: Sequence[Arrival]) -> None:
        self.by_start.update({arrival.start: arrival for arrival in arrivals})
