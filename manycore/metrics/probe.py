"""A call to each fleet now and then, and how long it took: what a caller would wait now. It alone needs a signing key.

The call is a plain one, to a task that every Celery worker knows: it leaves no batch, and nothing runs but Celery.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from time import monotonic

import redis
from celery import Celery
from celery.exceptions import TimeoutError
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from manycore.metrics.families import gauge
from manycore.plain import app_of
from manycore.protocol.broker import BRIEF_SECONDS, connect
from manycore.protocol.roster import live_workers
from manycore.protocol.settings import Settings

logger = logging.getLogger(__name__)
TASK = "celery.accumulate"
MAX_FLEETS = 20
LOOK_SECONDS = 5.0
"""How soon a new fleet is called, at the latest."""
GIVEN_UP_SECONDS = 600.0
"""A call that is out for so long is lost: a server without its data has forgotten it."""


class Probe(Collector):
    """Has one call out to a fleet at a time: what is slow must not become slower by being watched."""

    def __init__(self, settings: Settings, every_seconds: float) -> None:
        self._settings = settings
        self._every_seconds = every_seconds
        self._redis = connect(settings, BRIEF_SECONDS)
        self._stopped = threading.Event()
        self._fleets: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}
        self._out: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: no call is waited for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        now, told = monotonic(), dict(self._took)
        for fleet, since in list(self._out.items()):
            told[fleet] = max(told.get(fleet, 0.0), now - since)
        text = "Round trip of the last probe call; of one that is out for longer, how long so far."
        yield gauge("manycore_probe_seconds", text, {(fleet,): took for fleet, took in told.items()}, "fleet")

    def start(self) -> None:
        """Call the fleets that have workers, from now until `stop`."""
        threading.Thread(target=self._look, name="manycore-probe", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _look(self) -> None:
        while not self._stopped.is_set():
            try:
                self._fleets = {queue for worker in live_workers(self._redis) for queue in worker.queues}
            except redis.RedisError as exc:
                logger.warning("The fleets to probe are not known: %s", exc)
            for fleet in sorted(self._fleets - self._threads.keys())[: MAX_FLEETS - len(self._threads)]:
                self._threads[fleet] = threading.Thread(target=self._serve, args=(fleet,), daemon=True)
                self._threads[fleet].start()
            self._stopped.wait(min(LOOK_SECONDS, self._every_seconds))

    def _serve(self, fleet: str) -> None:
        """Call one fleet for as long as it has workers."""
        try:
            app = app_of(self._settings)
            while fleet in self._fleets and not self._stopped.is_set():
                self._took[fleet] = self._call(app, fleet)
                self._stopped.wait(self._every_seconds)
        except Exception as exc:  # a boundary: it is refused, or the server is away; the next look begins anew
            logger.warning("The probe of the fleet %s failed: %r", fleet, exc)
        finally:
            self._out.pop(fleet, None)
            self._took.pop(fleet, None)
            del self._threads[fleet]

    def _call(self, app: Celery, fleet: str) -> float:
        """Seconds until the answer."""
        began = self._out[fleet] = monotonic()
        result = app.send_task(TASK, (0,), queue=fleet)
        while not self._stopped.is_set() and monotonic() - began < GIVEN_UP_SECONDS:
            try:
                result.get(timeout=1.0)
                break
            except TimeoutError:
                continue
        took = monotonic() - began
        result.forget()
        del self._out[fleet]
        return took
