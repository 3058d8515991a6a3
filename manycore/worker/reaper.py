"""Notices at once when a child dies.

Celery watches each child's sentinel, but loses sight of the others once one has died, and then finds a death with its
next look around, 5 s later (seen in 5.7.0). Looking more often costs one `waitpid` for each child.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manycore.worker.periodic import PeriodicStep

LOOK_SECONDS = 0.25


class ReaperStep(PeriodicStep):
    """Lets the pool replace dead children every `LOOK_SECONDS`."""

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        return LOOK_SECONDS, consumer.pool.maintain_pool
