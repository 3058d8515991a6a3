"""Where a batch's outcomes go: into the futures of `submit`, or into an inbox that a caller reads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future as ThreadFuture
from typing import Any

from manycore.client.change import Change
from manycore.client.future import settle
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
    """Collects arrivals until they are read; readers wait for what has `changed`. One thread at a time delivers."""

    def __init__(self) -> None:
        self.changed = Change()
        self.arrivals: list[Arrival] = []
        self.by_start: dict[int, Arrival] = {}
        self.error: BaseException | None = None
        self.finished = False

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        self._keep(arrivals)
        self.changed.tell()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.changed.tell()

    def finish(self) -> None:
        self.finished = True
        self.changed.tell()

    def _keep(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals


class OrderedInbox(Inbox):
    """Collects arrivals by their first index, for a reader that takes them in order and drops what it has read."""

    _closed = False

    def close(self) -> None:
        """Nobody will read: keep nothing."""
        self._closed = True
        self.by_start.clear()

    def _keep(self, arrivals: Sequence[Arrival]) -> None:
        if not self._closed:
            self.by_start.update({arrival.start: arrival for arrival in arrivals})
