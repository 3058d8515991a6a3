"""How often a plain Celery call has been begun, and not been seen to end: what bounds the processes that it may kill.

1. A call that comes for the first time runs uncounted, so that it costs nothing.
2. One that comes again is counted before it runs. So it does not matter who dies of it: a child, a parent, a container.
3. A parent that sees how an execution ended notes it: a death with its cause, or that it did no harm.
4. What ends in order takes its count along (`forget`).
"""

from __future__ import annotations

from dataclasses import dataclass

from manycore.protocol import keys
from manycore.protocol.script import Script
from manycore.worker.context import WorkerContext

HARMLESS = "-"
"""How an execution ended that was given back: it counts no more."""
FIRST = "first"
_begin = Script(__package__, "executions")


@dataclass(frozen=True, slots=True)
class Past:
    """The executions before this one that may have killed their processes, and how the last known one did."""

    count: int
    cause: str


def begin(context: WorkerContext, call_id: str, pid: int) -> Past:
    """Count one more execution, of a call that came again. To repeat it is harmless. Raises redis-py's errors."""
    args = [_name(context, pid), context.settings.batch_ttl_seconds]
    count, cause = _begin.run(context.redis, [keys.plain_executions(call_id)], args)
    return Past(int(count), cause.decode(errors="replace"))


def note(context: WorkerContext, call_id: str, pid: int, how: str, *, redelivered: bool) -> None:
    """Say how the execution in this process ended. Raises redis-py's errors."""
    key = keys.plain_executions(call_id)
    pipe = context.redis.pipeline(transaction=True)
    pipe.hset(key, _name(context, pid) if redelivered else FIRST, how)
    pipe.expire(key, context.settings.batch_ttl_seconds)
    pipe.execute()


def forget(context: WorkerContext, call_id: str) -> None:
    """The call has come to its end. Raises redis-py's errors."""
    context.redis.delete(keys.plain_executions(call_id))


def _name(context: WorkerContext, pid: int) -> str:
    """One for each process, as each dies once. A worker's folder has a random name."""
    return f"{context.folder.name}/{pid}"
