"""Reports the deaths of children: a strike for the item that each one ran, as its black box tells.

Celery says which request lost its process, and how it died. Where it does not, since the request went with a lost
connection, or where the strike could not be written, the box is still there: it is looked for a little later.
What dies with a worker that stops is not to blame.
"""

from __future__ import annotations

import logging
import os
from time import monotonic

import redis

from manycore.worker import blackbox, strikes
from manycore.worker.blackbox import NOBODY, Reading
from manycore.worker.context import WorkerContext
from manycore.worker.executions import HARMLESS

logger = logging.getLogger(__name__)
GRACE_SECONDS = 2.0
"""How long a death is left to Celery, which knows how it came."""


def absolve_all(context: WorkerContext) -> None:
    """Note that whatever runs here ends with its worker: it comes again, and for no fault of its own."""
    for owner in blackbox.threads(context.folder):
        reading = blackbox.read_any(context.folder, owner)
        if reading is not None:
            report(context, owner, reading, HARMLESS)


def report(context: WorkerContext, owner: int | str, reading: Reading, cause: str) -> None:
    """Count a strike, or note that nothing is to blame; what cannot be written now is left for `Coroner`."""
    try:
        try:
            note(context, reading, cause)
        except redis.ConnectionError:
            note(context, reading, cause)  # it was cut: the next connection is new
    except redis.RedisError as exc:
        logger.warning("A death (%s, batch %s) is reported later: %s", reading.guilty, reading.batch, exc)
        return
    blackbox.remove(context.folder, owner)


def note(context: WorkerContext, reading: Reading, cause: str) -> None:
    """Count what a box says, and log it. Raises redis-py's errors; to repeat it counts once."""
    ttl = context.settings.batch_ttl_seconds
    if reading.index == NOBODY or cause == HARMLESS:
        strikes.absolve(context.redis, reading, ttl)
        return
    strike = strikes.record(context.redis, reading, cause, ttl)
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
        reading = blackbox.read_any(self._context.folder, pid)
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
