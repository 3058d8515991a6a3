"""Tells Flower of tasks a moment later, and of several at a time: the work comes first.

Celery would publish each event before the next message, or the next child, gets its turn: some 2 ms of every call. Of a
row of calls nearly nothing is told while there is nobody who hears it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from celery import bootsteps

Step = Callable[[Any], object]
"""Is given the dispatcher, or None while nobody hears it."""
DELAY_SECONDS = 0.05
"""What Flower shows is older by so much."""
SLICE, SLICE_SECONDS = 16, 0.01
"""So many calls of a row (`followers`) are told of at a time, and how often: for a millisecond a message waits then."""
SHARE = 16
"""If very many wait, so much of them at a time: what is told of keeps up with what ends."""
UNHEARD, UNHEARD_SECONDS = 256, 0.1
"""The same while nobody hears it: to count one takes a tenth of what to tell of it does."""


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
            self._tell_soon()

    def _tell_soon(self) -> None:
        self._consumer.timer.call_after(SLICE_SECONDS if self._is_heard() else UNHEARD_SECONDS, self._tell_some)

    def _tell_some(self) -> None:
        is_heard, dispatcher = self._is_heard(), self._consumer.event_dispatcher
        with self._turn:
            count = min(len(self._untold), max(SLICE if is_heard else UNHEARD, len(self._untold) // SHARE))
            some = [self._untold.popleft() for _ in range(count)]
            self._tells = goes_on = bool(self._untold)
        if goes_on:
            self._tell_soon()
        for step in some[:-1]:
            step(dispatcher if is_heard else None)
        for step in some[-1:]:  # it tells whether somebody has come
            step(dispatcher)

    def _is_heard(self) -> bool:
        """Whether anybody was there for what was last told; a heartbeat says it every two seconds, too."""
        producer = getattr(self._consumer.event_dispatcher, "producer", None)
        return producer is None or producer.channel.heard_by != 0


class EventsStep(bootsteps.StartStopStep):
    """Behind Celery's own step, which makes the dispatcher anew with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        dispatcher = consumer.event_dispatcher
        if dispatcher is not None and dispatcher.on_send_buffered is not None:  # None where Celery does not buffer
            dispatcher.on_send_buffered = Deferred(consumer)
