"""Reports a running chunk, and reads back what it has to know: one round trip.

1. Writes what items printed and the outcomes of what has finished, and counts them in the batch's account.
2. Says how far the chunk is, so that a redelivery resumes there; and how far it may be before the next report.
3. Claims the item that is to run next, if it needs that.
4. Acknowledges the chunk's message with its last outcomes, where those are small.
5. Learns whether the batch was cancelled, the chunk taken over, and whether a chunk waits in the queue.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from manycore.errors import ManycoreError
from manycore.protocol import account, keys, logs, packing
from manycore.protocol.account import Told
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.line import Line
from manycore.protocol.message import Block, Chunk
from manycore.protocol.priority import lists_before, lists_beside
from manycore.protocol.resume import Resume
from manycore.protocol.script import Script, knowing
from manycore.worker.child.accountant import Accountant
from manycore.worker.child.blocks import blocks_of
from manycore.worker.child.claims import CLAIM
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.staying import STAY_TTL_SECONDS, Stay
from manycore.worker.child.tally import Report
from manycore.worker.context import WorkerContext
from manycore.worker.summary import OPEN
from manycore.worker.writer import OutcomeWriter

REPORT, FINISH = Script(__package__, "report"), Script(__package__, "finish")
AT_ONCE_BYTES = 64 * 1024
"""So much goes with the acknowledgement; more of it would hold up the server within one step."""


@dataclass(frozen=True, slots=True)
class News:
    """What a report learned: whether and how the batch is cancelled, whether chunks wait in the queue, which other run
    has the chunk now, and how many executions keep the item from running that was to be claimed."""

    cancelled: bytes | None
    waiting: bool
    taken_over: str
    refused: int = 0
    others: int = 0
    """How many chunks wait that it is to leave its slot to."""
    fate: int = OPEN
    """What became of the chunk's delivery with it."""


class Reporter:
    """Not thread-safe: its users hold the courier's lock."""

    def __init__(self, context: WorkerContext, line: Line, writer: OutcomeWriter) -> None:
        self._context = context
        self._line = line
        self._writer = writer
        self._accountant = Accountant(context)
        self._has_told_logs = False

    def flush(
        self,
        run: ChunkRun,
        report: Report | None,
        log: Sequence[bytes] = (),
        *,
        more: int = 0,
        position: int | None = None,
        last: bool = False,
    ) -> News:
        """Write a report of `run`, with how far it is; raises redis-py's errors when the server is away.

        `more` items than now may be begun once it is written. The item at `position` is claimed. `last` ends the chunk:
        its message may come again, and must find that nothing is left.
        """
        stop = run.stop
        resume = run.resume(stop, stop) if last else run.resume(run.tally.reported, run.items.begun + more)
        blocks = list(self._blocks(run, report, last=last))
        stay = run.stay if last and sum(map(len, blocks)) <= AT_ONCE_BYTES else None
        if stay is not None:
            return knowing(self._context.redis, lambda: self._finished(run, stay, report, log, resume, blocks), FINISH)
        step = partial(self._reported, run, report, log, resume, position, blocks)
        return knowing(self._context.redis, step, REPORT, CLAIM)

    def fail(self, chunk: Chunk, error: ManycoreError, log: Sequence[bytes]) -> None:
        """Write what a chunk that cannot run wrote before, and `error` as the outcome of its items."""
        if log:
            pipe = self._line.round()
            account.execute(pipe, self._told(pipe, chunk, log))
        self._writer.fail(chunk, error)

    def _reported(
        self,
        run: ChunkRun,
        report: Report | None,
        log: Sequence[bytes],
        resume: Resume,
        position: int | None,
        blocks: Sequence[bytes],
    ) -> News:
        pipe, chunk, last = self._line.round(), run.chunk, resume.start == resume.stop
        told = self._told(pipe, chunk, log) if log else []
        if sum(map(len, blocks)) > AT_ONCE_BYTES:
            for sealed in blocks:
                self._writer.put(pipe, chunk.batch, sealed)
            blocks = ()
        told += self._accountant.count(pipe, run, report, last=last)
        asked = len(pipe)
        names = [keys.resume(chunk.batch), keys.outcomes(chunk.batch), keys.batch(chunk.batch)]
        priority = chunk.options.priority
        names += lists_beside(run.queue, priority)
        args = [chunk.id, run.token, str(resume), self._context.settings.batch_ttl_seconds, self._writer.ttl(chunk)]
        REPORT.queue(pipe, names, [*args, len(lists_before(run.queue, priority)), *blocks])
        claims = run.claims if position is not None else None
        if claims is not None and position is not None:
            claims.queue(pipe, position, run.unseen(position))
        (other, cancelled, waiting, others), *rest = account.execute(pipe, told)[asked:]
        refused = int(rest[0]) if rest else 0
        return News(None if last else cancelled, bool(waiting), other.decode(errors="replace"), refused, others=others)

    def _finished(
        self,
        run: ChunkRun,
        stay: Stay,
        report: Report | None,
        log: Sequence[bytes],
        resume: Resume,
        blocks: Sequence[bytes],
    ) -> News:
        """Outcomes, resume point and acknowledgement in one script.

        The account is told before, as whoever has the last outcome of a batch tells its end. Calls have no such end:
        there it is told when the outcomes are on their way already.
        """
        pipe, chunk = self._line.round(), run.chunk
        told = self._told(pipe, chunk, log) if log else []
        if not chunk.is_of_calls:
            told += self._accountant.count(pipe, run, report, last=True)
        place = len(pipe)
        names = [keys.resume(chunk.batch), keys.outcomes(chunk.batch), UNACKED, UNACKED_INDEX, *stay.names(run)]
        args = [chunk.id, run.token, str(resume), self._context.settings.batch_ttl_seconds, self._writer.ttl(chunk)]
        FINISH.queue(pipe, names, [*args, stay.tag, STAY_TTL_SECONDS, *blocks])
        if chunk.is_of_calls:
            pipe.push()
            told += self._accountant.count(pipe, run, report, last=True)
        other, fate = account.execute(pipe, told)[place]
        return News(None, False, other.decode(errors="replace"), fate=fate)

    def _told(self, pipe: Any, chunk: Chunk, log: Sequence[bytes]) -> list[Told]:
        """Queue what items wrote. Before the outcomes: who has one finds all of its item."""
        if not self._has_told_logs:  # a server that has just started; told too late, outcomes would come before
            logs.SCRIPT.tell(self._context.redis)
            self._has_told_logs = True
        settings = self._context.settings
        ttl = keys.stream_ttl(chunk.ephemeral, settings.batch_ttl_seconds)
        return [logs.tell(pipe, chunk.batch, ttl, settings.capture_batch_bytes, log)]

    def _blocks(self, run: ChunkRun, report: Report | None, *, last: bool) -> Iterator[bytes]:
        """The outcomes, as they travel."""
        chunk = run.chunk
        if report is not None and run.cancelled not in (keys.GIVEN_UP, keys.TERMINATED):
            for block, body in blocks_of(chunk, report, self._context.name, self._context.settings.max_item_bytes):
                yield self._writer.sealed(block, body)
        if last and run.cancelled == keys.STOPPING and run.tally.reported < run.stop:
            yield self._writer.sealed(self._cancelled(run), packing.pack([]))

    def _cancelled(self, run: ChunkRun) -> Block:
        chunk = run.chunk
        indices = chunk.own_indices(run.tally.reported, run.stop)
        name, none = self._context.name, array("f")
        return Block(chunk.batch, chunk.id, indices, chunk.attempt, name, none, {}, cancelled=True, mark=chunk.mark)
