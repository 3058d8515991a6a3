"""Gives a part of a running chunk to its queue: from then on it is a chunk of its own, no next run's of this one."""

from __future__ import annotations

from typing import Any

from manycore.protocol import bell, keys
from manycore.protocol.broker import LATER
from manycore.protocol.line import Line
from manycore.protocol.message import Chunk
from manycore.protocol.script import Script, knowing
from manycore.worker.child.run import ChunkRun
from manycore.worker.context import WorkerContext

GIVE = Script(__package__, "give")


def give(context: WorkerContext, line: Line, run: ChunkRun, part: Chunk) -> str:
    """Send `part`, which `run` has given off its end after its last report.

    Returns the other run if one has taken the chunk over: then nothing was sent. Raises redis-py's errors: whether it
    was sent is unknown then.
    """
    chunk, queue = run.chunk, run.queue
    message = context.publisher.message(part, run.payload, queue=queue, shadow=run.shadow)
    field = str(run.resume(run.tally.reported, run.items.begun))
    args = [chunk.id, run.token, field, context.settings.batch_ttl_seconds, message]

    def step() -> Any:
        pipe = line.round()
        GIVE.queue(pipe, [keys.resume(chunk.batch), queue + LATER], args)
        pipe.eval(*bell.rung(queue))
        return pipe.execute()[0]

    other: bytes = knowing(context.redis, step, GIVE)
    return other.decode()
