"""Tells Flower of tasks a moment later, and of several at a time: the work comes first.

Celery would publish each event before the next message, or the next child, gets its turn: some 2 ms of every call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from celery import bootsteps

Step = Callable[[Any], object]
DELAY_SECONDS = 0.05
"""What Flower shows is older by so much."""
SLICE, SLICE_SECONDS = 16, 0.01
"""So many calls of a row (`followers`) are told of at a time, and how often: for a millisecond a message waits then."""
SHARE = 16
"""If very many wait, so much of them at a time: what is told of keeps up with what ends."""


class Deferred:
    """Called for each event that waits; flushes them all once."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._is_due = False
        self._untold: deque[Step] = deque()
        self._tells = False
        self._turn = threading.Lock()  # the requests of a worker of threads end on those

    def __call__(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._consumer.timer.call_after(DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what waits. Raises kombu's errors: Celery then begins a new connection, and keeps the events for it."""
        self._is_due = False
        self._consumer.event_dispatcher.flush()

    def later(self, steps: Sequence[Step]) -> None:
        """Tell of something in each of these steps, which are given the dispatcher; a few at a time."""
        with self._turn:
            self._untold.extend(steps)
            begins = not self._tells and bool(self._untold)
            self._tells |= begins
        if begins:
            self._consumer.timer.call_after(SLICE_SECONDS, self._tell_some)

    def _tell_some(self) -> None:
        with self._turn:
            count = min(len(self._untold), max(SLICE, len(self._untold) // SHARE))
            some = [self._untold.popleft() for _ in range(count)]
            self._tells = goes_on = bool(self._untold)
        if goes_on:
            self._consumer.timer.call_after(SLICE_SECONDS, self._tell_some)
        for step in some:
            step(self._consumer.event_dispatcher)


class EventsStep(bootsteps.StartStopStep):
    """Behind Celery's own step, which makes the dispatcher anew with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        dispatcher = consumer.event_dispatcher
        if dispatcher is not None and dispatcher.on_send_buffered is not None:  # None where Celery does not buffer
            dispatcher.on_send_buffered = Deferred(consumer)
