"""The turn of a plain Celery call: its arguments are rebuilt in it, and it runs.

Celery's own code around a turn takes what is no `Exception` for the end of the worker, and waits for a time limit on
the main thread only. So here whatever a call raises becomes an error that ends this call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from billiard.common import terminate_handler_fired
from celery import Task
from celery.exceptions import SoftTimeLimitExceeded

from manycore.errors import ItemTimeout, MessageRefused, NotUnpicklable, RemoteError
from manycore.protocol.calls import PlainCall
from manycore.protocol.packing import reason_of, text_of
from manycore.worker.child import copies
from manycore.worker.child.limits import time_limit
from manycore.worker.context import worker_context

T = TypeVar("T")
LIMITS = (SoftTimeLimitExceeded, ItemTimeout, MemoryError)
"""What comes over a call while its arguments are rebuilt, and is not what they raise."""
NO_EXCEPTION = "Celery would take it for the end of a worker"


class PlainTurn:
    """What happens to a plain call in its child, from the top to the bottom of `__call__`."""

    def __init__(self, task: Task, call: PlainCall, where: str) -> None:
        """`where` it is rebuilt is said if that fails."""
        self._task = task
        self._call = call
        self._where = where

    def __call__(self) -> Any:
        request, call = self._task.request, self._call
        if (call.task, call.id) != (self._task.name, request.id):
            raise MessageRefused(f"it was signed as {call.task}[{call.id}] and came as {self._task.name}[{request.id}]")
        with self._limit():
            return copies.alone(self._outcome)

    def _outcome(self) -> Any:
        request, call = self._task.request, self._call
        args, kwargs = self._rebuilt(call.rebuilt, "The arguments")
        options = self._rebuilt(call.rebuilt_options, "The callbacks")
        # In place: these very objects are what Celery hands on to everybody after the call.
        request.args[:] = args
        request.kwargs.update(kwargs)
        request.update(options)
        return _excepting(lambda: self._task.run(*args, **kwargs))

    def _rebuilt(self, rebuild: Callable[[], T], what: str) -> T:
        try:
            return rebuild()
        except LIMITS:
            raise
        except BaseException as exc:  # a user's class may raise anything while it is rebuilt
            if terminate_handler_fired():
                raise
            raise NotUnpicklable(what, f"worker {self._where}", reason_of(exc)) from exc

    def _limit(self) -> AbstractContextManager[None]:
        """On a thread, the call's own limit: of Celery's pools only that of processes has any."""
        request = self._task.request
        seconds = request.soft_time_limit or request.time_limit
        if seconds is None or threading.current_thread() is threading.main_thread():
            return nullcontext()
        return time_limit(seconds, worker_context(self._task.app).box.trace)


def _excepting(run: Callable[[], T]) -> T:
    """What `run` gives. Raises what it does, as an `Exception`."""
    try:
        return run()
    except Exception:
        raise
    except BaseException as exc:  # sys.exit() of the call, among others
        if terminate_handler_fired():
            raise  # this process is told to end, and the call with it
        raise RemoteError(type(exc).__name__, text_of(exc), NO_EXCEPTION) from exc
