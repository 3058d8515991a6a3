"""Tells Flower of tasks a moment later, and of several at a time: the work comes first.

Celery would publish each event before the next message, or the next child, gets its turn: some 2 ms of every call. Of
the calls that one slot ran one after the other (`staying`), it is told when that is over: a few at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from celery import bootsteps
from celery.worker import state

from manycore.worker.followed import Call
from manycore.worker.summary import as_it_ended

DELAY_SECONDS = 0.05
"""What Flower shows is older by so much."""
SLICE, SLICE_SECONDS = 16, 0.01
"""So many calls are told of at a time, and how often: about a millisecond, for which a message waits."""


class Deferred:
    """Called for each event that waits; flushes them all once."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._is_due = False
        self._untold: deque[tuple[str, Iterator[Call]]] = deque()

    def __call__(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._consumer.timer.call_after(DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what waits. Raises kombu's errors: Celery then begins a new connection, and keeps the events for it."""
        self._is_due = False
        self._consumer.event_dispatcher.flush()

    def tell_of(self, name: str, calls: Iterator[Call]) -> None:
        """Count these calls of what is called `name`, which have ended, and tell of them, in a while."""
        self._untold.append((name, calls))
        if len(self._untold) == 1:
            self._consumer.timer.call_after(SLICE_SECONDS, self._tell_some)

    def _tell_some(self) -> None:
        name, calls = self._untold[0]
        some = list(islice(calls, SLICE))
        if not some:
            self._untold.popleft()
        if self._untold:
            self._consumer.timer.call_after(SLICE_SECONDS, self._tell_some)
        for call in some:
            tell_of(self._consumer.event_dispatcher, name, call)


def tell_of(dispatcher: Any, name: str, call: Call) -> None:
    """Count a call that has ended, and send Celery's events of it, if anybody wants them."""
    state.total_count.update({name: 1})
    state.all_total_count[0] += 1
    if not (dispatcher and dispatcher.enabled):
        return
    known = {"uuid": call.id, "name": name, "args": call.shown, "kwargs": "", "root_id": call.id, "retries": 0}
    dispatcher.send("task-received", **known, timestamp=call.began)
    dispatcher.send("task-started", uuid=call.id, timestamp=call.began)
    type, how = as_it_ended(call.summary, {"runtime": call.seconds, "timestamp": call.began + call.seconds})
    dispatcher.send(type, uuid=call.id, **how)


class EventsStep(bootsteps.StartStopStep):
    """Behind Celery's own step, which makes the dispatcher anew with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        dispatcher = consumer.event_dispatcher
        if dispatcher is not None and dispatcher.on_send_buffered is not None:  # None where Celery does not buffer
            dispatcher.on_send_buffered = Deferred(consumer)
