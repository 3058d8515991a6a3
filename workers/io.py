"""The fleet for work that waits, or that releases the GIL in C code: threads of one process.

Its items share a process: one that crashes it takes its neighbours along (they run again), and a time limit is an
exception in the item, which C code that blocks does not see before it returns.
"""

from __future__ import annotations

from manycore.cpus import granted_cpus
from manycore.worker.launch import launch
from workers.app import create_fleet_app

THREADS_PER_CPU = 8
"""Waiting costs a thread and little else; for C code that computes, `MANYCORE_SLOTS` = CPUs is better."""


def run(slots: int | None, loglevel: str) -> None:
    """Consume the queue `io` until stopped."""
    launch(
        create_fleet_app,
        pool="threads",
        slots=slots or THREADS_PER_CPU * granted_cpus(),
        queue="io",
        name="io@%h",
        loglevel=loglevel,
    )
