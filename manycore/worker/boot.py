"""How the worker of a local cluster starts: with its own modules first, then with the import path of its client.

The two must not mix. A `random.py` or `platform.py` beside the user's program would take the place of the standard
library's while Celery is imported; but once that is done, items import what the program would, in the same order. And
PYTHONPATH stays what the user made it, since an item may start a program in quite another environment.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manycore.local.supervisor import READY
from manycore.worker.launch import launch

if TYPE_CHECKING:
    from celery import Celery

OWN = (
    "manycore.worker.app",
    "manycore.worker.child.task",
    "manycore.worker.parent.consumer",
    "manycore.worker.parent.pool",
    "celery.app.amqp",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.events.state",
    "celery.fixups",
    "celery.loaders.app",
    "celery.utils.dispatch",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.control",
    "celery.worker.loops",
    "celery.worker.strategy",
    "kombu.asynchronous.hub",
    "kombu.transport.redis",
)
"""What the worker imports anyhow, some of it late: all of it before anything of the user's can be in its way."""


def main() -> None:
    """Run the worker that `cluster.json` in the folder on the command line describes, until it is stopped."""
    folder = Path(sys.argv[2])
    config: dict[str, Any] = json.loads((folder / "cluster.json").read_text())
    os.environ.update(config["variables"])
    path: list[str] = config["path"]
    sys.path += [entry for entry in path if entry not in sys.path]
    try:
        launch(
            partial(_make_app, path, folder),
            pool="prefork",
            slots=config["slots"],
            queue="cpu",
            name="local@%h",
            loglevel="WARNING",
        )
    except click.ClickException as exc:  # the client shows what this log says: the reason, and not where it came from
        exc.show()
        sys.exit(exc.exit_code)


def _make_app(path: list[str], folder: Path) -> Celery:
    for module in OWN:
        import_module(module)
    from celery.signals import worker_ready

    from manycore.worker.app import create_worker_app
    from manycore.worker.context import worker_context

    worker_ready.connect(lambda **_: (folder / READY).touch(), weak=False)

    sys.path[:] = path
    app = create_worker_app()  # imports the modules that MANYCORE_TASKS names
    context = worker_context(app)
    context.is_private = True
    context.noticeboard.say_others(False)
    return app
