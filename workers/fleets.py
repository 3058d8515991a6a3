"""The fleets that this stack deploys: the queue that each consumes, what runs its items, and how many at a time.

`cpu` is for work that holds the GIL: a process for each CPU that the container was granted. `io` is for work that
waits, or that releases the GIL in C code: threads of one process. Its items share that process: a crash takes it down
with all of them, and a time limit is an exception in the item, which C code that blocks does not see before it
returns. After a crash, whatever may have been running runs again alone. Where others take longer than can be waited
for (`worker/child/suspects`: 20 times, a lease apart), two may run together, and the death of one is both's. A fleet
of any other name runs as `cpu` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manycore.fleet import check_fleet
from manycore.local.cpus import granted_cpus
from manycore.worker.launch import launch
from workers.app import create_fleet_app


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of one queue, which has the fleet's name. `slots_per_cpu` is what `MANYCORE_SLOTS=0` gives."""

    queue: str
    pool: Literal["prefork", "threads"]
    slots_per_cpu: int

    def run(self, slots: int | None, loglevel: str) -> None:
        """Consume the queue until stopped."""
        launch(
            create_fleet_app,
            pool=self.pool,
            slots=slots or self.slots_per_cpu * granted_cpus(),
            queue=self.queue,
            name=f"{self.queue}@%h",
            loglevel=loglevel,
        )


# A waiting thread costs little; for C code that computes, `MANYCORE_IO_SLOTS` = CPUs is better.
FLEETS = {fleet.queue: fleet for fleet in (Fleet("cpu", "prefork", 1), Fleet("io", "threads", 8))}


def fleet_of(name: str) -> Fleet:
    """The fleet of this name. Raises `SettingsError` for what cannot be one's."""
    return FLEETS.get(name) or Fleet(check_fleet(name), "prefork", 1)
