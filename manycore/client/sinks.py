"""Where a batch's outcomes go: into the futures of `submit`, into an inbox that a caller reads, or to nobody here."""

from __future__ import annotations

import threading
from concurrent.futures import Future as ThreadFuture
from typing import Any

from manycore.client.lane import Arrival


class FutureSink:
    """Completes the futures that `submit` gave out, by index."""

    def __init__(self, futures: dict[int, ThreadFuture[Any]]) -> None:
        self._futures = futures

    def deliver(self, arrival: Arrival) -> None:
        take = self._futures.pop
        if not arrival.errors:
            for index, value in enumerate(arrival.values, arrival.start):
                take(index).set_result(value)
            return
        for offset, value in enumerate(arrival.values):
            future, error = take(arrival.start + offset), arrival.errors.get(offset)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def fail(self, error: BaseException) -> None:
        while self._futures:
            _, future = self._futures.popitem()
            future.set_exception(error)

    def finish(self) -> None:
        """Nothing is left to do: each future was completed by its own outcome."""


class Inbox:
    """Collects arrivals until they are read; readers wait on `changed`, which guards everything here."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.arrivals: list[Arrival] = []
        self.by_start: dict[int, Arrival] = {}
        self.error: BaseException | None = None
        self.finished = False

    def deliver(self, arrival: Arrival) -> None:
        with self.changed:
            self.arrivals.append(arrival)
            self.changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self.changed:
            self.error = error
            self.changed.notify_all()

    def finish(self) -> None:
        with self.changed:
            self.finished = True
            self.changed.notify_all()


class Nobody:
    """Where outcomes go that somebody else gathers."""

    def deliver(self, arrival: Arrival) -> None:
        """It counts in the ledger, that is all."""

    def fail(self, error: BaseException) -> None:
        """Nobody waits."""

    def finish(self) -> None:
        """Nobody waits."""


class OrderedInbox(Inbox):
    """Collects arrivals by their first index, for a reader that takes them in order and drops what it has read."""

    def deliver(self, arrival: Arrival) -> None:
        with self.changed:
            self.by_start[arrival.start] = arrival
            self.changed.notify_all()
