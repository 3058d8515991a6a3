"""Reports a running chunk, and reads back what it has to know: one round trip.

1. Writes the outcomes of what has finished, and counts them in the batch's account.
2. Says how far the chunk is, so that a redelivery resumes there.
3. Learns whether the batch was cancelled, and whether a chunk waits in the queue.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from manycore.protocol import account, keys, packing
from manycore.protocol.broker import PRIORITY_SUFFIXES
from manycore.protocol.message import Block
from manycore.protocol.resume import Resume
from manycore.worker.child.accountant import Accountant
from manycore.worker.child.blocks import blocks_of
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report
from manycore.worker.context import WorkerContext
from manycore.worker.writer import OutcomeWriter


@dataclass(frozen=True, slots=True)
class News:
    """What a report learned: whether and how the batch is cancelled, and how many chunks wait in the queue."""

    cancelled: bytes | None
    waiting: int


class Reporter:
    """Reports for one thread. Not thread-safe: its users hold the courier's lock."""

    def __init__(self, context: WorkerContext, writer: OutcomeWriter) -> None:
        self._context = context
        self._writer = writer
        self._accountant = Accountant(context)

    def flush(self, run: ChunkRun, report: Report | None, *, last: bool = False) -> News:
        """Write a report of `run`, with how far it is; raises redis-py's errors when the server is away.

        `last` ends the chunk.
        """
        pipe = self._context.redis.pipeline(transaction=False)
        chunk, settings = run.chunk, self._context.settings
        reported = run.tally.reported
        if report is not None and run.cancelled not in (keys.GIVEN_UP, keys.TERMINATED):
            for block, body in blocks_of(chunk, report, self._context.name, settings.max_item_bytes):
                self._writer.add(pipe, block, body)
        if last and run.cancelled == keys.STOPPING and reported < run.stop:
            self._writer.add(pipe, self._cancelled(run), packing.pack([]))
        self._writer.keep_alive(pipe, chunk)
        resume = keys.resume(chunk.batch)
        if last:
            pipe.hdel(resume, chunk.id)
        else:
            pipe.hset(resume, chunk.id, str(Resume(reported, run.stop, run.suspect)))
            pipe.expire(resume, settings.batch_ttl_seconds)
        told = self._accountant.count(pipe, run, report)
        asked = len(pipe)
        pipe.hget(keys.batch(chunk.batch), "cancelled")
        for suffix in PRIORITY_SUFFIXES if not last else ():
            pipe.llen(run.queue + suffix)
        cancelled, *lengths = account.execute(pipe, told)[asked:]
        return News(cancelled, sum(lengths))

    def _cancelled(self, run: ChunkRun) -> Block:
        chunk = run.chunk
        indices = chunk.indices_of(run.tally.reported, run.stop)
        return Block(chunk.batch, chunk.id, indices, chunk.attempt, self._context.name, array("f"), {}, cancelled=True)
