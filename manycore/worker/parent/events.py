"""Tells Flower of tasks a moment later, and of several at a time: the work comes first.

Celery would publish each event before the next message, or the next child, gets its turn: some 2 ms of every call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from celery import bootsteps

T = TypeVar("T")
DELAY_SECONDS = 0.05
"""What Flower shows is older by so much."""
SLICE, SLICE_SECONDS = 16, 0.01
"""So many calls of a row (`followers`) are told of at a time, and how often: for a millisecond a message waits then."""


class Deferred:
    """Called for each event that waits; flushes them all once."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._is_due = False
        self._untold: deque[Iterator[object]] = deque()

    def __call__(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._consumer.timer.call_after(DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what waits. Raises kombu's errors: Celery then begins a new connection, and keeps the events for it."""
        self._is_due = False
        self._consumer.event_dispatcher.flush()

    def later(self, tell: Callable[[T], object], what: Iterator[T]) -> None:
        """Tell of each of these, a few at a time."""
        self._untold.append(map(tell, what))
        if len(self._untold) == 1:
            self._consumer.timer.call_after(SLICE_SECONDS, self._tell_some)

    def _tell_some(self) -> None:
        if not list(islice(self._untold[0], SLICE)):
            self._untold.popleft()
        if self._untold:
            self._consumer.timer.call_after(SLICE_SECONDS, self._tell_some)


class EventsStep(bootsteps.StartStopStep):
    """Behind Celery's own step, which makes the dispatcher anew with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        dispatcher = consumer.event_dispatcher
        if dispatcher is not None and dispatcher.on_send_buffered is not None:  # None where Celery does not buffer
            dispatcher.on_send_buffered = Deferred(consumer)
