"""Notices at once when a child dies, and whom it ran (`deaths`).

Celery watches each child's sentinel, but loses sight of the others once one has died, and then finds a death with its
next look around, 5 s later (seen in 5.7.0). Looking more often costs one `waitpid` for each child.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manycore.worker.context import worker_context
from manycore.worker.parent.deaths import Coroner
from manycore.worker.parent.periodic import PeriodicStep

LOOK_SECONDS = 0.25


class ReaperStep(PeriodicStep):
    """Lets the pool replace dead children every `LOOK_SECONDS`."""

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        coroner = Coroner(worker_context(consumer.app))

        def look() -> None:
            consumer.pool.maintain_pool()
            coroner.look()

        return LOOK_SECONDS, look
