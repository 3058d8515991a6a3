"""Carries outcomes away while items run: a thread of each child, beside the one that runs the items.

Every ~50 ms of a running chunk it flushes what has finished and, if no chunk waits in the queue, gives away half of
what is left: the next slot to fall idle would find nothing. When the worker stops, it gives back all that is left.
As a thread it does so also while one long item runs. An item that holds the GIL for long inside C code holds this up
too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import redis
from kombu.exceptions import OperationalError

from manycore.errors import ConnectionFailed, ManycoreError
from manycore.protocol.broker import RECONNECT_SECONDS
from manycore.protocol.message import Chunk
from manycore.protocol.settings import redacted
from manycore.worker.child import splitting
from manycore.worker.child.run import ChunkRun
from manycore.worker.context import WorkerContext
from manycore.worker.writer import News, OutcomeWriter

logger = logging.getLogger(__name__)
T = TypeVar("T")
UNABLE = (redis.RedisError, OperationalError, OSError)
"""What a round trip raises while the server is away, full, or not the primary any more."""
FIRST_TICK_SECONDS = 0.004
"""Early, so that a chunk that one slot got whole is spread over the others at once; then twice as long each time."""
TICK_SECONDS = 0.05
"""Outcomes wait this long at most. Shorter loads Redis: each child makes one round trip a tick."""


class Courier:
    """Flushes and splits the one chunk that its process runs. `watch` starts, `finish` ends the care for it."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._writer = OutcomeWriter(context)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._parked = False
        self._current: tuple[ChunkRun, str] | None = None
        self._thread: threading.Thread | None = None

    def watch(self, run: ChunkRun, queue: str) -> None:
        """Care for `run` until `finish`; new chunks split off it go to `queue`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="manycore-courier", daemon=True)
            self._thread.start()
        run.note = lambda position: self._note(run, queue, position)
        self._current = (run, queue)
        if self._parked:
            self._wake.set()

    def _note(self, run: ChunkRun, queue: str, position: int) -> None:
        """Write what is done, and that the item at `position` is about to run."""
        with self._lock:
            run.noted = position
            self._flush(run, queue)

    def finish(self, run: ChunkRun) -> bool:
        """Write the last outcomes of `run` and send its retries: then every outcome of the run is in Redis.

        False if there are items to run again, since they could not be given away; nothing was written then.
        """
        current, self._current = self._current, None
        with self._lock:
            if run.pending:
                self._current = current
                return False
            self._flush(run, current[1] if current else "", last=True)
            return True

    @classmethod
    def for_thread(cls, local: threading.local, context: WorkerContext) -> Courier:
        """The courier of this thread, made at first use."""
        if not hasattr(local, "courier"):
            local.courier = cls(context)
        courier: Courier = local.courier
        return courier

    def fail(self, chunk: Chunk, error: ManycoreError) -> None:
        """Make `error` the outcome of every item of a chunk that cannot run."""
        self.riding_out(lambda: self._writer.fail(chunk, error))

    def _loop(self) -> None:
        tick, cared_for = FIRST_TICK_SECONDS, None
        while True:
            current = self._current
            if current is None:
                self._park()
                continue
            tick = FIRST_TICK_SECONDS if current is not cared_for else min(tick * 2, TICK_SECONDS)
            cared_for = current
            sleep(tick)
            if self._current is current:
                try:
                    self._tend(*current)
                except Exception:  # the boundary of the thread: `finish` meets it too, and there it is an outcome
                    logger.exception("The outcomes of a running chunk could not be carried away")

    def _park(self) -> None:
        self._parked = True
        if self._current is None:  # looked at again: `watch` may have run before it could see us parked
            self._wake.wait()
        self._wake.clear()
        self._parked = False

    def _tend(self, run: ChunkRun, queue: str) -> None:
        with self._lock:
            if self._current is None or self._current[0] is not run:
                return
            if not run.pending and not run.unreported:
                return  # one long item is all there is: nothing to carry, nothing to give
            try:
                news = self._flush(run, queue)
            except ConnectionFailed:
                return  # `finish` will meet it too, and decides
            if news.cancelled:
                run.cancel(news.cancelled)
            elif self._context.drain_flag.exists():
                self._give(run, queue, len(run.pending))
            elif not news.waiting and monotonic() >= run.careful_until:  # a suspect stays where it is suspected
                self._give(run, queue, splitting.items_to_give(len(run.pending), run.done, monotonic() - run.started))

    def _give(self, run: ChunkRun, queue: str, count: int) -> None:
        part = run.give(count) if count else None
        if part is None:
            return
        try:
            self._context.publisher.publish([(part, run.payload)], queue=queue, shadow=run.shadow)
        except UNABLE:
            logger.warning("%d items could not be given away; they stay here", len(part), exc_info=True)
            run.keep()

    def _flush(self, run: ChunkRun, queue: str, *, last: bool = False) -> News:
        report = run.take_report()
        try:
            # Retries first: to send one twice costs a run, to report past one that was not sent would lose it.
            for position in report.retry if report else ():
                self.riding_out(lambda position=position: self._retry(run, position, queue))  # type: ignore[misc]
            return self.riding_out(lambda: self._writer.flush(run, report, queue, last=last))
        except BaseException:
            if report is not None:
                run.put_back(report)
            raise

    def riding_out(self, step: Callable[[], T]) -> T:
        """Try `step` again while the server is away or full; after `connection_seconds` raise `ConnectionFailed`."""
        deadline = monotonic() + self._context.settings.connection_seconds
        while True:
            try:
                return step()
            except UNABLE as exc:
                if monotonic() > deadline:
                    raise ConnectionFailed(redacted(self._context.settings.url or ""), exc) from exc
                sleep(RECONNECT_SECONDS)

    def _retry(self, run: ChunkRun, position: int, queue: str) -> None:
        """Send an item that is to run again as a new chunk, after its own wait."""
        chunk, settings = run.chunk, self._context.settings
        delay = settings.lease_seconds if position in run.postponed else chunk.options.backoff.delay(chunk.attempt)
        self._context.publisher.publish(
            [(chunk.again(position), run.payload)],
            queue=queue,
            shadow=run.shadow,
            delay_seconds=delay,
        )
