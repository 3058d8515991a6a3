"""Starts a Celery worker with manycore's options, in this process."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import click

from manycore.errors import ManycoreError
from manycore.protocol import inside
from manycore.worker.foreign import Foreign

if TYPE_CHECKING:
    from celery import Celery

BLAS_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def launch(
    make_app: Callable[[], Celery],
    *,
    pool: Literal["prefork", "threads"],
    slots: int,
    queue: str,
    name: str,
    loglevel: str,
    options: Sequence[str] = (),
) -> None:
    """Run a worker until it is stopped. Raises `click.ClickException` when `make_app` says why it cannot start."""
    for variable in BLAS_VARIABLES:
        # One thread for each slot: slots times BLAS threads would oversubscribe the cores. The user's value wins.
        os.environ.setdefault(variable, "1")
    gc.disable()  # while so much is imported that stays: a sixth of the time
    foreign = Foreign()  # before Celery is imported, if nobody has yet
    from celery import signals
    from celery.bin import worker as command
    from celery.bin.base import CLIContext

    from manycore.worker.child import ears
    from manycore.worker.context import worker_context
    from manycore.worker.logformat import format_as_json

    # Items run in children, or in threads of this process.
    items_begin = signals.worker_process_init if pool == "prefork" else signals.worker_ready
    items_begin.connect(foreign.give_back, weak=False)
    try:
        app = make_app()  # after the variables: tasks may import NumPy
    except ManycoreError as exc:
        raise click.ClickException(str(exc)) from exc
    context = worker_context(app)
    items_begin.connect(context.begin_items, weak=False)
    items_begin.connect(ears.begin, weak=False)
    if context.settings.capture:
        items_begin.connect(ears.listen, weak=False)
    as_json = context.settings.logformat == "json"
    if as_json:
        signals.after_setup_logger.connect(lambda logger, **_: format_as_json(name, logger), weak=False)
    inside.mark(queue, context.keyring.ids)
    gc.freeze()  # Celery collects garbage before each fork, and children would copy the pages that a collection touches
    gc.enable()
    # Not `app.worker_main`, which imports all commands of Celery, and of its plugins, Flower among them: with this one
    # alone a worker starts with a sixth less CPU and 12 MiB less memory.
    command.worker.main(
        [
            f"--pool={pool}",
            f"--concurrency={slots}",
            f"--queues={queue}",
            f"--hostname={name}",
            f"--loglevel={loglevel}",
            "--without-gossip",
            "--without-mingle",
            *options,
        ],
        prog_name="celery worker",
        standalone_mode=False,
        obj=CLIContext(app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None, quiet=as_json),  # quiet: no banner
    )
