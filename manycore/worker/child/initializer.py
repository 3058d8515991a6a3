"""Runs the initializer of a chunk's batch, unless this process has what it makes: once, within limits, under a note.

Whatever comes of it but a return is the batch's error, `InitializerFailed`, for every chunk of the batch: one that
raises, or is interrupted at its time limit, is not tried again, and one that kills its process not for ever.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from typing import Any

from redis import RedisError

from manycore.errors import InitializerFailed, ItemTimeout, RemoteTraceback
from manycore.protocol.failure import is_a, traceback_text
from manycore.protocol.pickling import reason_of
from manycore.worker import strikes
from manycore.worker.blackbox import SETUP
from manycore.worker.child import copies
from manycore.worker.child.limits import hard_limit, rest, time_limit
from manycore.worker.child.preliminaries import Preliminaries
from manycore.worker.states import Setup
from manycore.worker.strikes import Strike

OWN_FRAMES = "manycore.worker."


def initialized(setup: Setup | None, preliminaries: Preliminaries) -> AbstractContextManager[None]:
    """Have the state that the initializer makes meanwhile. Raises `InitializerFailed`, or redis-py's errors."""
    if setup is not None:
        preliminaries.strike(SETUP)  # at once: the thread that runs it next may be another one's
    return preliminaries.context.states.of(setup, lambda setup: _run(setup, preliminaries))


def _run(setup: Setup, preliminaries: Preliminaries) -> Any:
    context = preliminaries.context
    seconds = context.settings.initializer_seconds
    chunk, ttl = preliminaries.chunk, context.settings.batch_ttl_seconds
    strike = strikes.of_initializer(context.redis, chunk.batch, chunk.function or "")
    if strike is not None:
        _check(strike, setup.name, seconds, context.settings.max_executions)
    hard_limit.disarm()
    with preliminaries.noted(SETUP):
        try:
            with time_limit(seconds, context.box.trace):
                return copies.alone(setup.run)
        except BaseException as exc:  # SystemExit too: it is the initializer's, not ours
            why, trace = _reason(exc, seconds), traceback_text(exc, OWN_FRAMES)
        finally:
            rest()
    with suppress(RedisError):  # it spares the other chunks of the batch a try; their outcome is the same
        strikes.fail(context.redis, chunk.batch, chunk.function or "", why, trace, ttl)
    raise _failed(setup.name, why, trace)


def _check(strike: Strike, name: str, seconds: float, max_executions: int) -> None:
    """Raise what ends the batch if the initializer must not run again."""
    if strike.count == 0:
        raise _failed(name, strike.cause, strike.trace)
    if strike.trace:
        stuck = f"{_overdue(seconds)}, in code that cannot be interrupted; its process was ended"
        raise _failed(name, stuck, strike.trace)
    if strike.count >= max_executions:
        raise _failed(name, f"it killed its process {strike.count} times ({strike.cause})", "")


def _failed(name: str, why: str, trace: str) -> InitializerFailed:
    error = InitializerFailed(name, why)
    error.__cause__ = RemoteTraceback(trace) if trace else None
    return error


def _reason(exc: BaseException, seconds: float) -> str:
    return _overdue(seconds) if is_a(exc, ItemTimeout) else reason_of(exc)


def _overdue(seconds: float) -> str:
    return f"it ran longer than {seconds:g} s (MANYCORE_INITIALIZER_SECONDS on the workers)"
