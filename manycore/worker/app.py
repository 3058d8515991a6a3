"""Makes the Celery application that a worker runs. Composition only: each part is a file beside this one."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from celery import Celery, signals

from manycore.errors import FunctionsNotAllowed, ManycoreError, SettingsError, UnknownTask
from manycore.local.lifeline import die_with_parent
from manycore.protocol import serializer
from manycore.protocol.address import Address
from manycore.protocol.app import create_app
from manycore.protocol.broker import FUNCTION_TASK
from manycore.protocol.pickling import reason_of
from manycore.protocol.settings import Settings, load_settings
from manycore.task import TaskInfo, task_info
from manycore.worker.child import along
from manycore.worker.child.limits import uncounted
from manycore.worker.child.world import allow_children
from manycore.worker.context import WorkerApp, WorkerContext, worker_context
from manycore.worker.packages import have_extra
from manycore.worker.parent import desk, transport
from manycore.worker.parent.drain import DrainStep, HeldStep
from manycore.worker.parent.events import EventsStep
from manycore.worker.parent.followers import FollowersStep
from manycore.worker.parent.heartbeat import HeartbeatStep
from manycore.worker.parent.leases import LeaseStep
from manycore.worker.parent.reaper import ReaperStep
from manycore.worker.parent.reconnect import ReconnectStep
from manycore.worker.parent.refusals import refuse_message
from manycore.worker.parent.terminate import TerminateStep
from manycore.worker.parent.watchman import WatchStep

SWITCH_SECONDS = 0.001
"""So long a courier waits for the GIL beside an item that computes, and five times before it has given away a part of
its run, which an idle slot waits for. Python's own are 5 ms."""


def create_worker_app(settings: Settings | None = None) -> WorkerApp:
    """The application of a worker: tasks, signed messages, outcomes, leases. Raises `SettingsError`."""
    settings = settings or load_settings()
    if settings.url is None:
        raise SettingsError("There is no server to work for. Set MANYCORE_URL_FILE or MANYCORE_URL to its address.")
    keyring = settings.keyring()
    serializer.install(keyring, max_message_bytes=settings.max_message_bytes, max_result_bytes=settings.max_item_bytes)
    address = Address.parse(settings.url)
    options = {
        "task_cls": "manycore.worker.child.task:ManycoreTask",
        "backend": address.backend_by("manycore.worker.parent.backend:OutcomeBackend"),
    }
    app = cast(WorkerApp, create_app(settings, kind=WorkerApp, transport=transport.__name__, **options))
    app.conf.update(
        broker_connection_max_retries=None,  # a worker waits for its server as long as it takes
        broker_channel_error_retry=True,  # also for one that is full, or a replica: it answers, with an error
        worker_prefetch_multiplier=1,
        worker_pool="manycore.worker.parent.pool:Pool",  # where it is one of processes
        worker_consumer="manycore.worker.parent.consumer:Consumer",
        worker_proc_alive_timeout=60.0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_max_tasks_per_child=settings.max_tasks_per_child,
        worker_max_memory_per_child=settings.max_memory_per_child and settings.max_memory_per_child // 1024,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,  # an item's sys.stdout is a file like any other; it goes to the worker's log
        worker_send_task_events=True,
    )
    app.context = WorkerContext(app, settings, keyring)
    app.context.objects.waiting = uncounted
    app.steps["worker"].add(DrainStep)
    app.steps["consumer"] |= {EventsStep, HeartbeatStep, HeldStep, LeaseStep, ReaperStep, ReconnectStep}
    app.steps["consumer"] |= {FollowersStep, TerminateStep, WatchStep}
    have_extra(settings)
    if settings.allow_functions:
        app.task(along.runner(app.context), name=FUNCTION_TASK)
    for module in map(_import, settings.tasks):
        register(app, tasks_of(module))
    desk.open_for_questions()
    _connect_signals(app)
    app.set_current()
    return app


def tasks_of(module: ModuleType) -> list[tuple[TaskInfo, Any]]:
    """The functions of a module that `@task` marked, those that it only imported left out."""
    members = {id(member): member for member in vars(module).values()}  # one may have several names
    marked = [(task_info(member), member) for member in members.values()]
    return [(info, f) for info, f in marked if info is not None and f.__module__ == module.__name__]


def register(app: Celery, tasks: Iterable[tuple[TaskInfo, Any]]) -> None:
    """Make marked functions known to Celery by their names, each routed to its fleet's queue."""
    for info, function in tasks:
        if info.name in app.tasks:
            raise SettingsError(f"Two tasks are called {info.name!r}. Give one of them another name: @task(name=...).")
        app.task(function, name=info.name, queue=info.fleet)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise  # whoever starts the worker stops it
    except BaseException as exc:  # a user's module may raise anything while it is imported, and leave by sys.exit()
        hint = " Is its folder in PYTHONPATH?" if isinstance(exc, ModuleNotFoundError) else ""
        why = f"{reason_of(exc)}.{hint}"
        raise SettingsError(f"MANYCORE_TASKS names {name!r}, which cannot be imported: {why}") from exc


def _connect_signals(app: Celery) -> None:
    context = worker_context(app)
    parent = os.getpid()
    # billiard's arenas are files in a temporary folder, which a killed parent leaves: let it be one that is tidied up.
    tempfile.tempdir = str(context.folder)

    def unknown_task(message: Any = None, name: str = "", **_: Any) -> None:
        refuse_message(context, message, _unknown(context, name))

    def child_started(**_: Any) -> None:
        die_with_parent(parent)
        if context.is_private:  # there is no terminal, whose Ctrl-C or Ctrl-Z would no longer reach it
            os.setpgid(0, 0)  # an item that ends its group (`os.killpg`) would end the worker, and the server with it
        context.run_folder.let_go()
        _be_killed_first()
        sys.setswitchinterval(SWITCH_SECONDS)
        tempfile.tempdir = None  # items use the machine's own
        allow_children()

    signals.task_unknown.connect(unknown_task, weak=False)
    signals.worker_process_init.connect(child_started, weak=False)
    # After the finalizers of whatever is kept in the folder, multiprocessing's own (-100) among them.
    Finalize(None, context.objects.close, exitpriority=-101)
    Finalize(None, shutil.rmtree, args=(context.folder,), kwargs={"ignore_errors": True}, exitpriority=-101)


def _be_killed_first() -> None:
    """Where memory runs out, let the kernel kill the child whose item took it, not the parent that can tell of it."""
    with suppress(OSError):  # there is no such file but on Linux
        Path("/proc/self/oom_score_adj").write_text("500")


def _unknown(context: WorkerContext, name: str) -> ManycoreError:
    from difflib import get_close_matches  # only here: needed for messages that nobody should send

    if name == FUNCTION_TASK:
        return FunctionsNotAllowed("this function")
    close = get_close_matches(name, [task for task in context.app.tasks if not task.startswith("celery.")], n=1)
    return UnknownTask(name, f" Did you mean {close[0]!r}?" if close else "")
