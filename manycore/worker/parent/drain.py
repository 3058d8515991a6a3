"""Ends a worker so that nothing it runs is lost, and nothing that could finish runs twice.

On SIGTERM Celery takes no more messages and waits for what runs (a warm shutdown). Beside that wait:
1. A notice tells the couriers to give back what their chunks have not started: only running items are waited for.
2. A thread renews the leases of those; the event loop, which does it otherwise, has ended.
3. After `stop_seconds` it lets the leases go, so that others start over with the unfinished items at once, and ends
   the process. Nobody is blamed for that.
Celery's own soft shutdown (5.7) sleeps through its time in the signal handler, however soon all is done, and runs
whole chunks to their end.
"""

from __future__ import annotations

import logging
import os
import threading
from time import monotonic
from typing import Any

from celery import bootsteps
from celery.worker import state
from redis import RedisError

from manycore.worker import executions
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent import deaths
from manycore.worker.parent.leases import RENEWALS_PER_LEASE, Leases
from manycore.worker.parent.request import ChunkRequest

logger = logging.getLogger(__name__)


class Drain:
    """Watches over a worker's last seconds, on a thread of its own."""

    def __init__(self, context: WorkerContext, leases: Leases) -> None:
        self._context = context
        self._leases = leases
        self._pause = threading.Event()
        self._interval = context.settings.lease_seconds / RENEWALS_PER_LEASE

    def begin(self) -> None:
        """Give back what has not started, and keep what has; returns at once."""
        self._context.noticeboard.say_drain()
        threading.Thread(target=self._watch, name="manycore-drain", daemon=True).start()

    def _watch(self) -> None:
        deadline = monotonic() + self._context.settings.stop_seconds
        while (left := deadline - monotonic()) > 0:
            self._leases.renew()
            self._pause.wait(min(self._interval, left))
        held = self._leases.held()
        if not held:
            return  # Celery is merely slow to end
        logger.error(
            "%d messages are not done after %g s (MANYCORE_STOP_SECONDS): others go on with them",
            len(held),
            self._context.settings.stop_seconds,
        )
        _blame_nobody()
        deaths.absolve_all(self._context)
        try:
            self._leases.let_go()
        except RedisError as exc:
            logger.error("Their leases could not be ended (%s), and end in %g s", exc, self._interval)
        os._exit(1)  # the children die with us (`lifeline`)


class DrainStep(bootsteps.StartStopStep):
    """Begins the drain when Celery stops the consumer for good; on a lost connection it only restarts it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._leases: Leases | None = None

    def start(self, consumer: Any) -> None:
        self._leases = Leases(consumer)
        _blame_nobody()  # what runs has lost the connection that it came by

    def stop(self, consumer: Any) -> None:
        if state.should_stop is not None and self._leases is not None:
            Drain(worker_context(consumer.app), self._leases).begin()


def _blame_nobody() -> None:
    """Plain calls that run here come again, and for no fault of theirs: this execution does not count."""
    for request in list(state.active_requests):
        if isinstance(request, ChunkRequest):
            request.note_end(executions.HARMLESS)
