"""Gives a part of a running chunk to its queue: from then on it is a chunk of its own, no next run's of this one."""

from __future__ import annotations

from typing import Any

from manycore.protocol import bell, keys
from manycore.protocol.line import Line
from manycore.protocol.message import Chunk
from manycore.protocol.priority import list_of, lists_beside
from manycore.protocol.script import Script, knowing
from manycore.worker.child.run import ChunkRun
from manycore.worker.context import WorkerContext

GIVE = Script(__package__, "give")


def give(context: WorkerContext, line: Line, run: ChunkRun, part: Chunk, *, unless_waiting: bool = False) -> str | None:
    """Send `part`, which `run` has given off its end; with `unless_waiting` only if no message is in its queue.

    Returns the other run if one has taken the chunk over, None if a message waits: then nothing was sent; '' if it was.
    Raises redis-py's errors: whether it was sent is unknown then.
    """
    chunk, queue = run.chunk, run.queue
    message = context.publisher.message(part, run.payload, queue=queue, shadow=run.shadow)
    field = str(run.resume(run.tally.reported, run.items.begun))
    args = [chunk.id, run.token, field, context.settings.batch_ttl_seconds, message]

    priority = chunk.options.priority
    names = [keys.resume(chunk.batch), list_of(queue, priority, later=True)]
    if unless_waiting:
        names += lists_beside(queue, priority)

    def step() -> Any:
        pipe = line.round()
        GIVE.queue(pipe, names, args)
        pipe.eval(*bell.rung(queue))
        return pipe.execute()[0]

    other: bytes | None = knowing(context.redis, step, GIVE)
    return None if other is None else other.decode(errors="replace")
