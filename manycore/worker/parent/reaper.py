"""Notices at once when a child dies, and whom it ran (`deaths`).

Celery watches each child's sentinel, but loses sight of the others once one has died, and then finds a death with its
next look around, 5 s later (seen in 5.7.0). Looking more often costs one `waitpid` for each child. What the dead
left of large objects is freed, and workers beside this one that died whole are found (`predecessors`).
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from manycore.worker.context import worker_context
from manycore.worker.parent.deaths import Coroner
from manycore.worker.parent.periodic import PeriodicStep
from manycore.worker.parent.predecessors import Predecessors

LOOK_SECONDS = 0.25
IDLE_SECONDS = 1.0
NEIGHBOURS_SECONDS = 1.0
"""Well below a lease: after one, others run what a dead worker of this machine has left."""
SWEEP_SECONDS = 30.0


class ReaperStep(PeriodicStep):
    """Lets the pool replace dead children every `LOOK_SECONDS`, and less often while nothing runs."""

    idle_seconds = IDLE_SECONDS

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        context = worker_context(consumer.app)
        coroner, predecessors = Coroner(context), Predecessors(context)
        predecessors.look()  # before the first chunk is taken in that they may have left
        next_sweep, next_look = 0.0, monotonic() + NEIGHBOURS_SECONDS

        def look() -> None:
            nonlocal next_sweep, next_look
            consumer.pool.maintain_pool()
            coroner.look()
            if monotonic() >= next_look:
                next_look = monotonic() + NEIGHBOURS_SECONDS
                predecessors.look()
            if monotonic() >= next_sweep:
                next_sweep = monotonic() + SWEEP_SECONDS
                context.objects.sweep()

        return LOOK_SECONDS, look
