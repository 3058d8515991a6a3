"""`python -m manycore.worker`: a Celery worker with manycore's settings, one process per granted CPU unless told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from manycore.local.cpus import granted_cpus
from manycore.worker.launch import launch
from manycore.worker.loglevel import with_loglevel

if TYPE_CHECKING:
    from celery import Celery


@click.command(context_settings={"ignore_unknown_options": True, "show_default": True})
@click.option("--slots", type=click.IntRange(1), default=None, help="Items that run at a time. [default: granted CPUs]")
@click.option("--pool", type=click.Choice(["prefork", "threads"]), default="prefork", help="What runs items.")
@click.option("--queue", default="cpu", help="The queue to consume.")
@click.option("--name", default="cpu@%h", help="The worker's name, as Celery writes it.")
@with_loglevel
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def main(
    slots: int | None,
    pool: Literal["prefork", "threads"],
    queue: str,
    name: str,
    loglevel: str,
    celery_options: tuple[str, ...],
) -> None:
    """Run a worker. Further options go to `celery worker` as they are."""
    launch(
        _make_app,
        pool=pool,
        slots=slots or granted_cpus(),
        queue=queue,
        name=name,
        loglevel=loglevel,
        options=celery_options,
    )


def _make_app() -> Celery:
    from manycore.worker.app import create_worker_app  # imports Celery, which reads the environment

    return create_worker_app()


if __name__ == "__main__":
    sys.exit(main())
