"""The turn of a plain Celery call: its arguments are rebuilt in it, and it runs, unless that has killed too often.

Celery's own code around a turn takes what is no `Exception` for the end of the worker, and waits for a time limit on
the main thread only. So here whatever a call raises becomes an error that ends this call.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, TypeVar

from celery import Task
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.signals import task_postrun
from redis import RedisError

from manycore.errors import ItemTimeout, MessageRefused, NotUnpicklable, RemoteError, RemoteTraceback, WorkerCrashed
from manycore.protocol.calls import PlainCall
from manycore.protocol.failure import class_name, is_ordinary, traceback_text
from manycore.protocol.message import Chunk, ItemOptions, new_chunk_id
from manycore.protocol.packing import Opened
from manycore.protocol.pickling import reason_of, text_of
from manycore.worker import executions, softlimit
from manycore.worker.child import copies
from manycore.worker.child.limits import rest, time_limit
from manycore.worker.child.quarantine import set_aside
from manycore.worker.child.suspects import alone
from manycore.worker.context import worker_context
from manycore.worker.executions import Past
from manycore.worker.outage import outlast
from manycore.worker.strikes import Strike

logger = logging.getLogger(__name__)
T = TypeVar("T")
LIMITS = (SoftTimeLimitExceeded, ItemTimeout, MemoryError)
"""What comes over a call while its arguments are rebuilt, and is not what they raise."""
OWN_FRAMES = __name__
NO_EXCEPTION = "Celery would take it for the end of a worker"
UNSEEN = "its whole worker died with it"


class _Turns(threading.local):
    """Those of this thread, by call, that last until Celery has done all for the call that it does after it has run."""

    def __init__(self) -> None:
        self.open: dict[str, ExitStack] = {}


_turns = _Turns()
"""Of calls that came again."""


class PlainTurn:
    """What happens to a plain call in its child, from the top to the bottom of `__call__`."""

    def __init__(self, task: Task, call: PlainCall) -> None:
        self._task = task
        self._request = task.request
        self._call = call
        self._context = worker_context(task.app)

    def __call__(self) -> Any:
        task, call_id = self._task.name, self._request.id
        if (self._call.task, self._call.id) != (task, call_id):
            raise MessageRefused(f"it was signed as {self._call.task}[{self._call.id}] and came as {task}[{call_id}]")
        if self._request.delivery_info.get("redelivered"):
            turn = _turns.open[call_id] = ExitStack()
            turn.enter_context(alone(self._context.folder))  # as far as can be: who is beside one that kills is none
            self._count()
            turn.callback(self._forget)
        self._context.imports.own()
        return self._within_limits()

    def _forget(self) -> None:
        try:
            executions.forget(self._context, self._call.id)
        except RedisError as exc:
            logger.warning("The executions of the call %s are remembered, though it has ended: %s", self._call.id, exc)

    def _count(self) -> None:
        """Count this execution. Raises what ends a call that has had enough of them."""
        context, call_id = self._context, self._call.id
        past = outlast(context, lambda: executions.begin(context, call_id, os.getpid()))
        most = context.settings.max_executions
        if past.count < most:
            return
        if self._task.backend.succeeded(call_id) and not self._request.chord:
            raise Ignore  # it has only died of what came after
        self._condemn(past, bare=past.count > most)

    def _condemn(self, past: Past, *, bare: bool) -> None:
        """Put the call aside, and raise its verdict; `bare` if one has killed before, by what Celery runs at it."""
        call, delivered = self._call, self._request.delivery_info
        if bare:
            self._request.errbacks = None
        count = min(past.count, self._context.settings.max_executions)
        strike = Strike(count, past.cause or UNSEEN)
        item = Chunk(new_chunk_id(call.id), call.id, call.task, None, ItemOptions("call"), 0, 0, 1, None, b"")
        held = Opened([call.arguments], separate=True)
        set_aside(self._context, item, held, {0: strike}, delivered.get("routing_key") or "", self._request.shadow)
        raise WorkerCrashed(strike.count, strike.cause)

    def _within_limits(self) -> Any:
        try:
            with self._limit():
                return copies.alone(self._outcome)
        finally:
            self._context.objects.let_go()

    def _limit(self) -> AbstractContextManager[None]:
        """On a thread, the call's own: of Celery's pools only that of processes has any, a signal."""
        if threading.current_thread() is threading.main_thread():
            softlimit.may_end(self._call.id)
            return nullcontext()
        seconds = self._request.soft_time_limit or self._request.time_limit
        if seconds is None:
            return nullcontext()
        return time_limit(seconds, self._context.box.trace)

    def _outcome(self) -> Any:
        args, kwargs = self._rebuilt(self._call.rebuilt, "The arguments")
        options = self._rebuilt(self._call.rebuilt_options, "The callbacks")
        # In place: these very objects are what Celery hands on to everybody after the call.
        self._request.args[:] = args
        self._request.kwargs.update(kwargs)
        self._request.update(options)
        return excepting(lambda: self._task.run(*args, **kwargs))

    def _rebuilt(self, rebuild: Callable[[], T], what: str) -> T:
        try:
            return rebuild()
        except LIMITS:
            raise
        except BaseException as exc:  # a user's class may raise anything while it is rebuilt
            raise NotUnpicklable(what, f"worker {self._context.name}", reason_of(exc)) from exc


def _leave_turn(task_id: str = "", **_: Any) -> None:
    """The call has come to its end, its result written: nothing that dies from here on is its doing."""
    if task_id in _turns.open:
        _turns.open.pop(task_id).close()


task_postrun.connect(_leave_turn, weak=False, dispatch_uid="manycore.plain")


def excepting(run: Callable[[], T]) -> T:
    """What `run` gives. Raises what it does, as an `Exception` that nobody need be careful with."""
    try:
        try:
            return run()
        finally:
            rest()
    except BaseException as exc:  # sys.exit() of the call, among others
        if is_ordinary(exc):
            raise
        error = RemoteError(class_name(exc), text_of(exc), NO_EXCEPTION)
        raise error from RemoteTraceback(traceback_text(exc, OWN_FRAMES))
