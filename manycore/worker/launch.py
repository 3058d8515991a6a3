"""Starts a Celery worker with manycore's options, in this process."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import click
from redis import RedisError

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
    _open_streams()
    for variable in BLAS_VARIABLES:
        # One thread for each slot: slots times BLAS threads would oversubscribe the cores. The user's value wins.
        os.environ.setdefault(variable, "1")
    gc.disable()  # while so much is imported that stays: a sixth of the time
    foreign = Foreign()  # before Celery is imported, if nobody has yet
    from celery import signals

    from manycore.worker.child import ears
    from manycore.worker.context import worker_context
    from manycore.worker.logformat import format_as_json

    # Items run in children, or in threads of this process.
    items_begin = signals.worker_process_init if pool == "prefork" else signals.worker_ready
    items_begin.connect(foreign.give_back, weak=False)
    try:
        app = make_app()  # after the variables: tasks may import NumPy
    except (ManycoreError, RedisError) as exc:
        raise click.ClickException(str(exc)) from exc
    context = worker_context(app)
    context.slots = slots
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
    if options:
        own = {"pool": pool, "concurrency": slots, "queues": queue, "hostname": name, "loglevel": loglevel}
        _run_command(app, [*(f"--{option}={value}" for option, value in own.items()), *options], quiet=as_json)
    else:
        _run(app, pool=pool, slots=slots, queue=queue, name=name, loglevel=loglevel, quiet=as_json)


def _open_streams() -> None:
    """Give this process the standard streams that its starter has closed (`worker 2>&-`): billiard flushes them, and a
    connection that got the number of one would be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _run(app: Celery, *, pool: str, slots: int, queue: str, name: str, loglevel: str, quiet: bool) -> None:
    """What Celery's command `worker` does. That one imports pygments to no end: a tenth of the start of a worker."""
    from celery.concurrency import get_implementation
    from celery.utils.nodenames import default_nodename, host_format

    worker = app.Worker(
        pool_cls=get_implementation(app.conf.worker_pool if pool == "prefork" else pool),
        concurrency=slots,
        queues=[queue],
        hostname=host_format(default_nodename(name)),
        loglevel=logging.getLevelName(loglevel.upper()),
        without_gossip=True,
        without_mingle=True,
        no_color=_no_color(),
        quiet=quiet,
    )
    worker.start()


def _run_command(app: Celery, arguments: list[str], *, quiet: bool) -> None:
    """Not by `app.worker_main`, which imports all commands of Celery, and of its plugins, Flower among them."""
    from celery.bin import worker as command
    from celery.bin.base import CLIContext

    command.worker.main(
        [*arguments, "--without-gossip", "--without-mingle"],
        prog_name="celery worker",
        standalone_mode=False,
        obj=CLIContext(app, no_color=_no_color(), workdir=None, quiet=quiet),  # quiet: no banner
    )


def _no_color() -> bool:
    return bool(os.environ.get("NO_COLOR"))
