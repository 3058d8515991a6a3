"""Reports the deaths of children: a strike for the item that each one ran, as its black box tells.

Celery says which request lost its process, and how it died. Where it does not, since the request went with a lost
connection, or where the strike could not be written, the box is still there: it is looked for a little later.
"""

from __future__ import annotations

import logging
import os
from time import monotonic

import redis

from manycore.worker import blackbox, strikes
from manycore.worker.blackbox import Reading
from manycore.worker.context import WorkerContext

logger = logging.getLogger(__name__)
GRACE_SECONDS = 2.0
"""How long a death is left to Celery, which knows how it came."""


def report(context: WorkerContext, pid: int, reading: Reading, cause: str) -> None:
    """Count a strike; what cannot be written now is left for `Coroner`."""
    ttl = context.settings.batch_ttl_seconds
    try:
        try:
            strike = strikes.record(context.redis, reading, cause, ttl)
        except redis.ConnectionError:
            strike = strikes.record(context.redis, reading, cause, ttl)  # it was cut: the next connection is new
    except redis.RedisError as exc:
        logger.warning("A death (%s, batch %s) is reported later: %s", reading.guilty, reading.batch, exc)
        return
    blackbox.remove(context.folder, pid)
    context.counts["strikes"] += 1
    logger.error(
        "%s of batch %s killed its process (%s), time %d", reading.guilty, reading.batch, strike.cause, strike.count
    )


class Coroner:
    """Finds the boxes of children that are gone."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._gone: dict[int, float] = {}

    def look(self) -> None:
        """Report the deaths that nobody else has reported within `GRACE_SECONDS`."""
        gone = {pid for pid in blackbox.owners(self._context.folder) if not _lives(pid)}
        self._gone = {pid: self._gone.get(pid, monotonic()) for pid in gone}
        for pid, since in self._gone.items():
            if monotonic() - since > GRACE_SECONDS:
                self._report(pid)

    def _report(self, pid: int) -> None:
        reading = blackbox.read(self._context.folder, pid)
        if reading is None:
            blackbox.remove(self._context.folder, pid)
        else:
            report(self._context, pid, reading, "nobody saw how")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
