"""The fleet for work that holds the GIL: one process for each CPU that the container was granted."""

from __future__ import annotations

from manycore.cpus import granted_cpus
from manycore.worker.launch import launch
from workers.app import create_fleet_app


def run(slots: int | None, loglevel: str) -> None:
    """Consume the queue `cpu` until stopped."""
    launch(
        create_fleet_app,
        pool="prefork",
        slots=slots or granted_cpus(),
        queue="cpu",
        name="cpu@%h",
        loglevel=loglevel,
    )
