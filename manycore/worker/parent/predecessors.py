"""Reads the black boxes of workers that died whole on this machine: of each run they name whom the death took along.

A container that the kernel killed, or a parent: nobody saw it. Whoever takes the chunks over next has to suspect each
item that they may have begun (`child.claims`), but for those of which a box tells in time: that one is exact.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from redis import RedisError

from manycore.worker import blackbox, strikes
from manycore.worker.blackbox import Reading
from manycore.worker.context import WorkerContext
from manycore.worker.executions import HARMLESS
from manycore.worker.folder import was_stopping
from manycore.worker.parent import deaths
from manycore.worker.strikes import UNSEEN

logger = logging.getLogger(__name__)


class Predecessors:
    """Of one worker; those whose folders lie beside its own, and that had the same signing key."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def look(self) -> None:
        """Report the deaths that the folders of the dead tell of, and remove those. What fails, the next look tries."""
        for folder in self._context.run_folder.of_the_dead(self._context.keyring.ids):
            try:
                self._report(folder)
            except RedisError as exc:
                logger.warning("The death of the worker of %s is reported later: %s", folder, exc)
                return
            shutil.rmtree(folder, ignore_errors=True)

    def _report(self, folder: Path) -> None:
        cause = HARMLESS if was_stopping(folder) else UNSEEN
        readings = [blackbox.read_any(folder, owner) for owner in sorted(blackbox.threads(folder))]
        steps: dict[tuple[str, str], list[Reading]] = {}
        for reading in readings:
            if reading is not None and reading.function:
                steps.setdefault((reading.batch, reading.field), []).append(reading)
            elif reading is not None:
                deaths.note(self._context, reading, cause)
        for together in steps.values():
            self._report_step(together, cause)

    def _report_step(self, together: list[Reading], cause: str) -> None:
        """All slots take a step before the items at once, as its batch begins: they died of it once."""
        blamed = strikes.known_of(self._context.redis, together) or together[0]
        deaths.note(self._context, blamed, cause)
        for reading in together:
            if reading is not blamed:
                deaths.note(self._context, reading, HARMLESS)
