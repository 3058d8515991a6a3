"""Carries outcomes away while items run: a thread of each child, beside the one that runs the items.

Every 50 to 300 ms of a running chunk it reports what has finished. If no chunk waits in the queue, it gives away half
of what is left: as a slot falls idle, or before one of another worker would find nothing (`rhythm`). When the worker
stops, it gives back all that is left. As a thread it does so also while one long item runs, unless that holds the GIL
inside C code.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from typing import TypeVar

from manycore.errors import ConnectionFailed, ManycoreError
from manycore.protocol.message import Chunk
from manycore.protocol.patience import OF_WORKERS, Patience
from manycore.worker.child import splitting
from manycore.worker.child.capture import Capture
from manycore.worker.child.giving import give
from manycore.worker.child.reporter import News, Reporter
from manycore.worker.child.retries import retries_of
from manycore.worker.child.rhythm import FIRST_TICK_SECONDS, TICK_SECONDS, Rhythm
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report
from manycore.worker.context import WorkerContext
from manycore.worker.writer import OutcomeWriter

logger = logging.getLogger(__name__)
T = TypeVar("T")
REST_SECONDS = 0.5
"""How long it rests after an error, and where one item is all there is that runs: nothing leaves but what it prints."""
HOVER_SECONDS = 0.02
"""How long the thread looks by itself for a next run: to wake it costs calls that come one after the other a fight for
the GIL each."""


class Courier:
    """Reports and splits the one chunk that its process runs. `care_for` starts, `finish` or `leave` ends the care.

    Whoever reports holds the lock: the items' thread at careful notes and at the end, the courier's own in between.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._writer = OutcomeWriter(context)
        self._line = context.line
        """That of the items' thread, which has the lock, or nothing to say, while this one speaks."""
        self._reporter = Reporter(context, self._line, self._writer)
        self._patience = Patience(context.settings, _pause, OF_WORKERS)
        self._changed = threading.Condition(threading.Lock())
        self._current: ChunkRun | None = None
        """Written by the items' thread, under the lock."""
        self._sleeping = False
        """Whether the thread waits to be told of a run; written by it, under the lock."""
        self._last: ChunkRun | None = None
        self._tick = FIRST_TICK_SECONDS
        self._thread: threading.Thread | None = None
        self._rhythm = Rhythm(context.noticeboard, context.slots)

    def care_for(self, run: ChunkRun) -> None:
        """Care for `run`; new chunks split off it go to its queue."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name="manycore-courier", daemon=True)
            self._thread.start()
        run.claim = lambda position: self._claim(run, position)
        run.settle = lambda position: self._settle(run, position)
        if run.capture is not None:
            run.capture.stir = self._rhythm.stir
        with self._changed:
            self._current = run
            if self._sleeping:
                self._changed.notify()
        self._rhythm.stir()

    def leave(self) -> None:
        """Care for nothing any more: the run comes to no end here."""
        with self._changed:
            self._current = None

    def recover(self, run: ChunkRun, exc: BaseException) -> None:
        """Let `run` go on after an exception that none of its items let out. Raises it if that is in vain."""
        with self._changed:
            try:
                run.recover(exc)
            except BaseException:
                self._current = None
                raise

    def finish(self, run: ChunkRun) -> bool:
        """Write the last outcomes of `run` and send its retries: then every outcome of the run is in Redis.

        False if there are items left that may be run now: they were held back, or could not be given away.
        """
        with self._changed:
            if run.items:
                self._flush(run)
                run.release_all()
                return False
            self._current = None
            run.fate = self._flush(run, last=True).fate
            return True

    def _claim(self, run: ChunkRun, position: int) -> None:
        """Write what is done, so that a death costs one item, and count the one that is about to run."""
        if run.claims is None:
            return
        with self._changed:
            news = self._flush(run, position)
        run.claims.judge(position, news.refused)

    def _settle(self, run: ChunkRun, position: int) -> None:
        """It has come to its end: whatever dies from here on, it was not this item."""
        claims = run.claims
        try:
            if claims is not None:
                self.riding_out(lambda: claims.end(position))
        except ConnectionFailed:  # the last report meets that server too, and decides
            logger.warning("The end of item %d of batch %s is not noted", run.chunk.index(position), run.chunk.batch)

    @classmethod
    def for_thread(cls, local: threading.local, context: WorkerContext) -> Courier:
        """The courier of this thread, made at first use."""
        if not hasattr(local, "courier"):
            local.courier = cls(context)
        courier: Courier = local.courier
        return courier

    def fail(self, chunk: Chunk, error: ManycoreError, capture: Capture) -> None:
        """Make `error` the outcome of every item of a chunk that cannot run; what its initializer said may tell why."""
        log = self._captured(capture, chunk.stop)
        self.riding_out(lambda: self._reporter.fail(chunk, error, log))

    def _loop(self) -> None:
        while True:
            try:
                self._turn_to(self._awaited())
            except BaseException:  # the boundary of the thread: `finish` meets it too, and there it is an outcome
                with suppress(BaseException):  # an item at its limit of memory leaves none to say so
                    logger.exception("The outcomes of a running chunk could not be carried away")
                sleep(REST_SECONDS)

    def _turn_to(self, run: ChunkRun) -> None:
        """Wait for the next moment to tend it."""
        woken, last, self._last = False, self._last, run
        if run is not last:
            self._tick = self._rhythm.begin(run, follows=last is not None and run.chunk.batch == last.chunk.batch)
            woken = self._rhythm.pause(run, max(0.0, self._tick - run.elapsed))
        elif run.has_news or self._tick < TICK_SECONDS:
            self._tick = min(self._tick * 2, TICK_SECONDS)
            woken = self._rhythm.pause(run, self._tick)
        else:
            self._rest(run)
        try:
            woken &= not self._tend(run, self._tick, asked=woken)
        finally:  # who was woken to share, and has nothing, leaves that to another one
            if woken and self._context.noticeboard.any_idle:
                self._context.noticeboard.wake_one()

    def _rest(self, run: ChunkRun) -> None:
        """Wait until another run comes, not for long: of one last item, its own thread tells how it ends."""
        with self._changed:
            if self._current is run:
                self._sleep(REST_SECONDS)

    def _sleep(self, seconds: float | None = None) -> None:  # until another run comes; the lock is held
        self._sleeping = True
        self._changed.wait(seconds)
        self._sleeping = False

    def _awaited(self) -> ChunkRun:
        """The next run. It is looked for a while before this sleeps, and again where one was over as this woke."""
        while True:
            deadline = monotonic() + HOVER_SECONDS
            while self._current is None and monotonic() < deadline:
                sleep(FIRST_TICK_SECONDS)
            with self._changed:
                if self._current is not None:
                    return self._current
                self._sleep()

    def _tend(self, run: ChunkRun, tick: float, *, asked: bool = False) -> bool:
        """Carry away and share what it is time for; `asked`, it is time to share. Says whether another slot has got
        something to do."""
        with self._changed:
            if self._current is not run or not run.has_news:
                return False  # one long item is all there is: nothing to carry, nothing to give
            drains = self._context.noticeboard.drains
            asked |= self._rhythm.must_look(run)
            shared = asked and not drains and self._share(run)
            due = drains or self._rhythm.must_report(run) or (asked and not shared)
            if due or shared:
                self._rhythm.looked(tick)
            if not due:
                return shared
            try:
                news = self._flush(run)
            except ConnectionFailed:
                return False  # `finish` will meet it too, and decides
            if news.cancelled:
                run.cancel(news.cancelled)
            elif drains:
                return self._give(run, len(run.items))
            elif not (shared or news.taken_over) and (count := self._surplus(run, news)):
                return self._give(run, min(count, run.unsuspected))  # a suspect stays where it is suspected
            return shared or news.waiting

    def _share(self, run: ChunkRun) -> bool:
        """Give an idle slot its part, before anything is reported: it waits for that, and where items hold the GIL the
        answer to a report takes as long as one of them."""
        if not self._rhythm.is_wanted(run):
            return False
        return self._give(run, min(self._half(run), run.unsuspected), unless_waiting=True)

    def _surplus(self, run: ChunkRun, news: News) -> int:
        """How many items the run leaves to others: all where it is another batch's turn."""
        if splitting.is_anothers_turn(news.others, self._context.slots, run.elapsed):
            return len(run.items)
        if news.waiting or not self._rhythm.shares_ahead:
            return 0
        return self._half(run)

    def _half(self, run: ChunkRun) -> int:
        """Half of what is left, or nothing if that is not worth a message."""
        return splitting.items_to_give(len(run.items), run.tally.done, run.elapsed, self._rhythm.seconds_at_one(run))

    def _give(self, run: ChunkRun, count: int, *, unless_waiting: bool = False) -> bool:
        part = run.give(count) if count else None
        if part is None:
            return False
        step = partial(give, self._context, self._line, run, part, unless_waiting=unless_waiting)
        try:
            other = self.riding_out(step)  # asked twice, it is given once
        except ConnectionFailed:
            logger.warning("%d items could not be given away; they stay here", len(part), exc_info=True)
            other = "somebody"  # it may have been taken all the same
        if other != "":
            run.items.keep()
        if other:
            run.share_with(other)
        return not other

    def _flush(self, run: ChunkRun, position: int | None = None, *, last: bool = False) -> News:
        """Report `run`, and claim the item at `position`; what Redis then knows of may be begun."""
        more = run.more()
        news = self._report(run, more, position, last=last)
        if news.taken_over:
            run.share_with(news.taken_over)
        else:
            run.items.release(more)
        return news

    def _report(self, run: ChunkRun, more: int, position: int | None, *, last: bool) -> News:
        report = run.tally.take_report()
        try:
            # Retries first: to send one twice costs a run, to report past one that was not sent would lose it.
            if report is not None and report.retry:
                self._send_retries(run, report)
            log = self._captured(run.capture, run.tally.reported)
            step = partial(self._reporter.flush, run, report, log, more=more, position=position, last=last)
            news = self.riding_out(step)
            if run.capture is not None:
                run.capture.told(log)
            return news
        except BaseException:
            if report is not None:
                run.tally.put_back(report)
            raise

    def _captured(self, capture: Capture | None, done: int) -> list[bytes]:
        """What was written since the last report: of items before the position `done`, all."""
        if capture is None or not capture.waits:
            return []
        ahead = self.riding_out(self._context.clock.ahead_of_host)
        return capture.untold(self._context.name, ahead, done)

    def _send_retries(self, run: ChunkRun, report: Report) -> None:
        settings = self._context.settings
        sent = retries_of(run, report, settings.lease_seconds, settings.inline_bytes)
        chunks = [(again.chunk, again.payload) for again in sent]

        def send() -> None:
            now = self._context.clock.now()
            times = [now + again.delay_seconds if again.delay_seconds else 0.0 for again in sent]
            self._context.publisher.publish(chunks, queue=run.queue, shadow=run.shadow, not_before=times)

        self.riding_out(send)

    def riding_out(self, step: Callable[[], T]) -> T:
        """Try `step` again while the server is away or full; after `connection_seconds` raise `ConnectionFailed`."""
        return self._patience.ride_out(step)


def _pause(seconds: float) -> bool:
    sleep(seconds)
    return False  # a worker that shuts down ends with its process
