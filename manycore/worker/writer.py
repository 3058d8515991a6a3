"""Writes outcomes to the stream of their batch, and reads back what a running chunk has to know: one round trip.

1. Packs the values of a report, cut by size; a large block goes beside the stream, under a key of its own.
2. Says how far the chunk is, so that a redelivery resumes there.
3. Learns whether the batch was cancelled, and whether a chunk waits in the queue.
It writes the same outcome twice rather than never: the caller keeps the first.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from manycore.errors import ManycoreError
from manycore.protocol import keys, packing
from manycore.protocol.broker import PRIORITY_SUFFIXES
from manycore.protocol.message import Block, Chunk, seal_block
from manycore.protocol.packing import dump_error
from manycore.protocol.resume import Resume
from manycore.worker.child.run import ChunkRun, Report, as_indices
from manycore.worker.context import WorkerContext

MAX_BLOCK_BYTES = 1024 * 1024
"""A larger block travels beside the stream, so that one XREAD cannot grow without bound."""


@dataclass(frozen=True, slots=True)
class News:
    """What a flush learned: whether and how the batch is cancelled, and how many chunks wait in the queue."""

    cancelled: bytes | None
    waiting: int


class OutcomeWriter:
    """Writes for one process. Not thread-safe: its users hold the courier's lock."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def flush(self, run: ChunkRun, report: Report | None, queue: str, *, last: bool = False) -> News:
        """Write a report of `run`, with how far it is; raises redis-py's errors when the server is away.

        `last` ends the chunk.
        """
        pipe = self._context.redis.pipeline(transaction=False)
        chunk = run.chunk
        ttl = self._context.settings.batch_ttl_seconds
        if report is not None and run.cancelled not in (keys.GIVEN_UP, keys.TERMINATED):
            for block, body in self._blocks(chunk, report):
                self._add(pipe, block, body)
        if last and run.cancelled == keys.STOPPING and run.reported < run.stop:
            self._add(pipe, self._cancelled(run), packing.pack([]))
        progress = keys.progress(chunk.batch)
        pipe.expire(keys.outcomes(chunk.batch), keys.stream_ttl(chunk.ephemeral, ttl))
        if last:
            pipe.hdel(progress, chunk.id)
        else:
            pipe.hset(progress, chunk.id, str(Resume(run.reported, run.stop, run.suspect)))
            pipe.expire(progress, ttl)
        pipe.hget(keys.batch(chunk.batch), "cancelled")
        for suffix in PRIORITY_SUFFIXES if not last else ():
            pipe.llen(queue + suffix)
        replies = pipe.execute()
        lengths = replies[-len(PRIORITY_SUFFIXES) :] if not last else []
        return News(replies[-1 - len(lengths)], sum(lengths))

    def fail(self, chunk: Chunk, error: ManycoreError) -> None:
        """Write `error` as the outcome of every item of a chunk that cannot run."""
        size = len(chunk)
        blob = dump_error(error, "")
        block = Block(
            chunk.batch,
            chunk.id,
            chunk.indices_of(chunk.start, chunk.stop),
            chunk.attempt,
            self._context.name,
            array("f", bytes(4 * size)),
            dict.fromkeys(range(size), blob),
        )
        pipe = self._context.redis.pipeline(transaction=False)
        self._add(pipe, block, packing.pack([None] * size))
        ttl = keys.stream_ttl(chunk.ephemeral, self._context.settings.batch_ttl_seconds)
        pipe.expire(keys.outcomes(chunk.batch), ttl)
        pipe.execute()

    def _blocks(self, chunk: Chunk, report: Report) -> Iterator[tuple[Block, bytes]]:
        settings = self._context.settings
        runs, unfit = packing.pack_runs(
            report.values, "The result", max_bytes=MAX_BLOCK_BYTES, max_item_bytes=settings.max_item_bytes
        )
        for run in runs:
            yield from self._without_retries(chunk, report, run, {})
        for offset, error in unfit.items():
            run = packing.Run(offset, offset + 1, packing.pack([None]))
            yield from self._without_retries(chunk, report, run, {0: dump_error(error, "")})

    def _without_retries(
        self, chunk: Chunk, report: Report, run: packing.Run, errors: dict[int, bytes]
    ) -> Iterator[tuple[Block, bytes]]:
        """The block of a packed run; without the items that will run again, if it holds any."""
        first = report.start + run.start
        span = range(first, report.start + run.stop)
        errors = errors or {p - first: blob for p, blob in report.errors.items() if p in span}
        again = set(report.retry).intersection(span)
        if not again:
            indices = chunk.indices_of(span.start, span.stop)
            yield self._block(chunk, indices, report.seconds[run.start : run.stop], errors), run.body
            return
        kept = [p for p in span if p not in again]
        if kept:
            values = [report.values[p - report.start] for p in kept]
            seconds = array("f", [report.seconds[p - report.start] for p in kept])
            moved = {new: errors[p - first] for new, p in enumerate(kept) if p - first in errors}
            yield self._block(chunk, as_indices(chunk, kept), seconds, moved), packing.pack(values)

    def _block(self, chunk: Chunk, indices: Sequence[int], seconds: array[float], errors: dict[int, bytes]) -> Block:
        return Block(chunk.batch, chunk.id, indices, chunk.attempt, self._context.name, seconds, errors)

    def _cancelled(self, run: ChunkRun) -> Block:
        chunk = run.chunk
        indices = chunk.indices_of(run.reported, run.stop)
        return Block(chunk.batch, chunk.id, indices, chunk.attempt, self._context.name, array("f"), {}, cancelled=True)

    def _add(self, pipe: Any, block: Block, body: bytes) -> None:
        sealed = seal_block(self._context.keyring, block, body)
        stream = keys.outcomes(block.batch)
        if len(sealed) <= MAX_BLOCK_BYTES:
            pipe.xadd(stream, {b"o": sealed})
            return
        token = secrets.token_hex(8)
        pipe.set(keys.values(block.batch, token), sealed, ex=self._context.settings.batch_ttl_seconds)
        pipe.xadd(stream, {b"k": token})
