"""Tells Flower of tasks a moment later, and of several at a time: the work comes first.

Celery would publish each event before the next message, or the next child, gets its turn: some 2 ms of every call.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

DELAY_SECONDS = 0.05
"""What Flower shows is older by so much."""


class Deferred:
    """Called for each event that waits; flushes them all once."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._is_due = False

    def __call__(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._consumer.timer.call_after(DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what waits. Raises kombu's errors: Celery then begins a new connection, and keeps the events for it."""
        self._is_due = False
        self._consumer.event_dispatcher.flush()


class EventsStep(bootsteps.StartStopStep):
    """Behind Celery's own step, which makes the dispatcher anew with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        dispatcher = consumer.event_dispatcher
        if dispatcher is not None and dispatcher.on_send_buffered is not None:  # None where Celery does not buffer
            dispatcher.on_send_buffered = Deferred(consumer)
