"""Notices at once when a child dies, and whom it ran (`deaths`).

Celery watches each child's sentinel, but loses sight of the others once one has died, and then finds a death with its
next look around, 5 s later (seen in 5.7.0). So the kernel is asked to tell of each; where it cannot, the next look is a
second away. What the dead left of large objects is freed, and workers beside this one that died whole are found
(`predecessors`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

from manycore.worker.context import worker_context
from manycore.worker.parent.deaths import Coroner
from manycore.worker.parent.periodic import PeriodicStep
from manycore.worker.parent.predecessors import Predecessors

LOOK_SECONDS = 1.0
"""Well below a lease: after one, others run what a dead worker of this machine has left."""
SWEEP_SECONDS = 30.0


class Sentinels:
    """One for each child: what the kernel makes readable when it ends."""

    def __init__(self, hub: Any, on_death: Callable[[], object]) -> None:
        self._hub = hub
        self._on_death = on_death
        self._watched: dict[int, int] = {}

    def watch(self, children: Iterable[int]) -> None:
        """Watch these, and no others."""
        wanted = set(children)
        if self._hub is None:
            return  # a pool without an event loop
        for pid in self._watched.keys() - wanted:
            self._forget(pid)
        for pid in wanted - self._watched.keys():
            with suppress(OSError, AttributeError):  # it is gone, or not Linux
                self._watched[pid] = os.pidfd_open(pid)
                self._hub.add_reader(self._watched[pid], self._told, pid)

    def close(self) -> None:
        self.watch(())

    def _told(self, pid: int) -> None:
        self._forget(pid)
        self._on_death()

    def _forget(self, pid: int) -> None:
        descriptor = self._watched.pop(pid)
        self._hub.remove(descriptor)  # first: a child forked since then holds a copy, for which epoll would go on
        os.close(descriptor)


class ReaperStep(PeriodicStep):
    """Lets the pool replace dead children as they die."""

    _sentinels: Sentinels | None = None

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        context = worker_context(consumer.app)
        coroner, predecessors = Coroner(context), Predecessors(context)
        predecessors.look()  # before the first chunk is taken in that they may have left
        next_sweep = 0.0

        def reap() -> None:
            consumer.pool.maintain_pool()
            sentinels.watch(consumer.pool.info.get("processes", ()))
            coroner.look()

        sentinels = self._sentinels = Sentinels(consumer.hub, reap)
        reap()

        def look() -> None:
            nonlocal next_sweep
            reap()
            predecessors.look()
            if monotonic() >= next_sweep:
                next_sweep = monotonic() + SWEEP_SECONDS
                context.objects.sweep()

        return LOOK_SECONDS, look

    def end(self) -> None:
        if self._sentinels is not None:
            self._sentinels.close()
