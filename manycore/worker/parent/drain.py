"""Ends a worker so that nothing it runs is lost, and nothing that could finish runs twice.

On SIGTERM Celery takes no more messages and waits for what runs (a warm shutdown). Beside that wait:
1. A notice tells the couriers to give back what their chunks have not started: only running items are waited for.
2. A thread renews the leases of those; the event loop, which does it otherwise, has ended.
3. After `stop_seconds` it puts back what it holds, so that others start over with the unfinished items at once, and
   ends the process. Nobody is blamed for that, nor if it is killed before: a mark in its folder says that it stops.
It begins with the signal itself, and no answer of the server is waited for: where that is away, Celery's consumer has
been stopped long before, and neither it nor what runs may ever come to an end.
Celery's own soft shutdown (5.7) sleeps through its time in the signal handler, however soon all is done, and runs
whole chunks to their end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

from celery import bootsteps, signals
from celery.worker import state
from redis import RedisError

from manycore.worker import executions
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent import deaths
from manycore.worker.parent.deliveries import active
from manycore.worker.parent.leases import RENEWALS_PER_LEASE, Leases
from manycore.worker.parent.request import ChunkRequest

logger = logging.getLogger(__name__)
SLOW_SECONDS = 5.0
"""What Celery has to end by itself in, after `stop_seconds`, where nothing runs any more."""
PARTING_SECONDS = 2.0
"""How long a server may take to hear what is left to others: it may be away."""


class Drain:
    """Watches over a worker's last seconds, on threads of its own, one of which waits for nothing but the time."""

    def __init__(self, context: WorkerContext) -> None:
        self.leases: Leases | None = None
        """Of the connection that there is now, or was last."""
        self._context = context
        self._stop_seconds = context.settings.stop_seconds
        self._interval = context.settings.lease_seconds / RENEWALS_PER_LEASE
        self._asked: SimpleQueue[None] = SimpleQueue()
        _on_thread("manycore-drain", self._watch)

    def begin(self) -> None:
        """Give back what has not started, and keep what has; returns at once. It may be called by a signal's handler,
        in the midst of anything: so it starts no thread, and takes no lock."""
        self._context.noticeboard.say_drain()
        self._asked.put(None)

    def on_signal(self, how: str, **_: Any) -> None:
        if how == "Warm":
            self.begin()

    def _watch(self) -> None:
        self._asked.get()
        self._context.run_folder.say_stops()
        deadline = monotonic() + self._stop_seconds
        _on_thread("manycore-drain-leases", self._keep_leases, deadline)
        sleep(self._stop_seconds)
        if not self._unfinished():
            sleep(SLOW_SECONDS)
        if count := self._unfinished():
            text = "%d messages are not done after %g s (MANYCORE_STOP_SECONDS): others go on with them"
            logger.error(text, count, self._stop_seconds)
        else:
            logger.error("Nothing runs any more, and the worker does not end: it may wait for the server")
        _on_thread("manycore-drain-parting", self._part).join(PARTING_SECONDS)
        os._exit(1)  # the children die with us (`lifeline`)

    def _keep_leases(self, deadline: float) -> None:
        while (left := deadline - monotonic()) > 0:
            if self.leases is not None:
                self.leases.renew()
            sleep(min(self._interval, left))

    def _unfinished(self) -> int:
        """Messages that are under way. Of a connection that was lost, none is held any more."""
        held = self.leases.held() if self.leases is not None else []
        return max(len(held), len(state.active_requests))

    def _part(self) -> None:
        _blame_nobody()
        deaths.absolve_all(self._context)
        try:
            if self.leases is not None:
                self.leases.let_go()
        except RedisError as exc:
            logger.error("Their leases could not be ended (%s), and end in %g s", exc, self._interval)


class DrainStep(bootsteps.StartStopStep):
    """Begins the drain when the worker is told to stop. It is the worker's, not its consumer's, which stops and starts
    again with each connection; and there before that, which nobody need answer."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        worker.drain = Drain(worker_context(worker.app))
        signals.worker_shutting_down.connect(worker.drain.on_signal)

    def stop(self, worker: Any) -> None:
        worker.drain.begin()


class HeldStep(bootsteps.StartStopStep):
    """Tells the drain what this connection has brought."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        consumer.controller.drain.leases = Leases(consumer)
        _blame_nobody()  # what runs has lost the connection that it came by


def _on_thread(name: str, call: Callable[..., object], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=call, args=args, name=name, daemon=True)
    thread.start()
    return thread


def _blame_nobody() -> None:
    """Plain calls that run here come again, and for no fault of theirs: this execution does not count."""
    for request in active():
        if isinstance(request, ChunkRequest):
            request.note_end(executions.HARMLESS)
