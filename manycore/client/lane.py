"""One batch's way through a client: takes items from a source, keeps the book, hands outcomes to a sink.

`submit`, `map` and `batch` differ only in their source (where items come from) and their sink (where outcomes go). The
dispatcher asks a lane for its next cut, the reader gives it what arrived, callers stop it. Its lock keeps them apart:
under it nothing but the book is touched, and what follows from that is handed on afterwards (`outbox`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

from manycore.client.givenup import NoValues, OneError
from manycore.client.halt import NEVER, Halt
from manycore.client.locks import Rank, RankedLock
from manycore.client.outbox import Outbox
from manycore.client.passage import Arrival, Cut, Observer, Sink, Source, Unobserved
from manycore.client.state import State, following
from manycore.client.window import Window
from manycore.errors import BatchCancelled, BatchHalted, InitializerFailed, ManycoreError, PackagesFailed
from manycore.fleet import DEFAULT_QUEUE
from manycore.protocol import keys
from manycore.protocol.custody import Custody
from manycore.protocol.ledger import Ledger, Sent
from manycore.protocol.message import Block
from manycore.protocol.parcel import Parcel
from manycore.protocol.ranges import RangeSet
from manycore.protocol.record import Record


class Lane:
    """The state of one batch in its client. `queue` is that of the workers that run it."""

    def __init__(
        self,
        batch_id: str,
        source: Source,
        sink: Sink,
        *,
        halt: Halt = NEVER,
        record: Record | None = None,
        ordered: bool = False,
        queue: str = DEFAULT_QUEUE,
        custody: Custody | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.id = batch_id
        self.source = source
        self.queue = queue
        self.record = record
        self.custody = custody or Custody(keeps_failures=record is not None)
        self.window = Window(ordered=ordered)
        self.halt = halt
        self.last_read = "0-0"  # in the batch's stream: the reader's alone
        self.stop_error: ManycoreError | None = None
        self.failure: BaseException | None = None
        self.state: State = "open"
        self._sink = sink
        self._observer: Observer = observer or Unobserved()
        self._lock = RankedLock(Rank.LEAF)
        self._outbox = Outbox()
        self._started = monotonic()
        self._ended_at: float | None = None
        self.reader: object = None  # what watches over who reads
        self.unsent = False  # whether an item could not be sent, and others cannot know of it
        self._bytes_per_item, self._in_hand, self._taking, self._leaving, self._cut_short = 0.0, 0, False, False, False

    @property
    def over(self) -> bool:
        """Whether no outcome will come any more."""
        return self.state in ("ended", "failed")

    @property
    def ephemeral(self) -> bool:
        """Whether only this client can want the outcomes."""
        return self.record is None

    @property
    def ledger(self) -> Ledger:
        return self.custody.ledger

    @property
    def running_seconds(self) -> float:
        """How long the batch has been running, or ran."""
        return (self._ended_at or monotonic()) - self._started

    @property
    def total(self) -> int | None:
        """How many items the batch has, None while its input is still being pulled."""
        return self.ledger.sent_items if self._no_more else self.source.total

    @property
    def sent_whole(self) -> bool:
        """Whether the whole input has been sent, and was one: the last chunk has left, or all is answered."""
        with self._lock:
            has_left = self._no_more and (not self._leaving or self.state == "ended")
            return has_left and not self.unsent and self.stop_error is None and self.source.error is None

    @property
    def finishable(self) -> bool:
        """Whether the last outcome is there and nothing has said so yet: `check_finished` does."""
        return not self.over and self._no_more and self.ledger.complete

    @property
    def _no_more(self) -> bool:
        """Whether no further item will come: none is left, is being taken, or is between that and `sending`."""
        is_held = self._in_hand or self._taking or self._cut_short
        return self.stop_error is not None or (self.source.exhausted() and not is_held)

    def ready(self, slots: int) -> bool:
        """Whether the next cut can be taken now: there are items, and the window is open."""
        return self.state == "open" and self.window.is_open(self.ledger, slots) and self.source.ready()

    def next_cut(self, slots: int) -> Cut | None:
        """Take the next items, None if there are none after all; called only when `ready`, by the dispatcher."""
        if self.state != "open":
            return None
        # Without the lock: what is taken is pickled, waited for, told its callers.
        self._taking = True
        taken = self.source.take(self.source.next_size(slots, self.ledger.seconds_per_item, self._bytes_per_item))
        with self._changing():
            self._taking = False
            if taken is None or not taken[2]:
                self._check_finished()
            elif self.state == "open":
                self._in_hand = len(taken[2])
                return Cut(self.ledger.sent_items, *taken)
            else:
                self._take_too_late(len(taken[2]))
        return None

    def sending(
        self, chunk_id: str, count: int, size_bytes: int, payload_token: str | None, parcel: Parcel | None = None
    ) -> bool:
        """Note a chunk that is about to leave; False if it must not: the lane was stopped since the cut was taken."""
        with self._changing():
            if self.state != "open":
                return False
            self._leaving, self._in_hand = True, self._in_hand - count
            self.ledger.send(chunk_id, count, size_bytes, payload_token, parcel)
            self._bytes_per_item = (size_bytes if parcel is None else parcel.weight) / count
            self.window.left(self.ledger.sent_items)
            self._check_finished()  # an earlier run may have answered it
            return True

    def left(self) -> None:
        """The chunk that was `sending` is in Redis."""
        self._leaving = False

    def pass_over(self, cut: Cut) -> bool:
        """Whether an earlier run has answered all of a cut: then it does not leave."""
        with self._changing():
            span = cut.first, cut.first + len(cut.items)
            if self.record is None or self.ledger.answered.missing(*span) or self.ledger.failures.common(*span):
                return False  # of what failed the arguments are sent: it may be run again
            if self.state == "open":
                self._in_hand -= len(cut.items)
                self.ledger.send("", len(cut.items), 0, None)
                self._check_finished()
            return True

    def refuse(self, error: BaseException, *, unsent: bool = False) -> None:
        """The next item cannot leave: `error` is its outcome. `unsent` if others cannot know of it."""
        with self._changing():
            self.unsent |= unsent
            if self.state == "open":
                self._in_hand -= 1
                self._give_up_unsent(1, error)

    def arrived(self, block: Block, values: Sequence[Any], errors: Mapping[int, BaseException]) -> list[Sent]:
        """Take a verified block in; gives the chunks that it finished."""
        with self._changing():
            if self.over:
                return []
            if block.cancelled:
                return self._give_up(block.indices, self.stop_error or BatchCancelled(self.id), block)
            self.ledger.work_seconds += sum(block.seconds)
            return self._accept(block.indices, values, errors, block)

    def reject(self, chunk_id: str, error: BaseException, *, unsent: bool = False) -> list[Sent]:
        """A worker refused a chunk without reading it, or it never left: `error` is the outcome of its items."""
        with self._changing():
            self.unsent |= unsent
            sent = None if self.over else self.ledger.find(chunk_id)
            return [] if sent is None else self._give_up(range(sent.start, sent.stop), error)

    def gaps(self, indices: range) -> list[range]:
        """The parts of these items that have to be sent."""
        with self._lock:
            return self.custody.gaps(indices)

    def lost(self, covered: RangeSet) -> list[tuple[Parcel, range]]:
        """What has to be sent again: what no message covers, now and when this was last asked."""
        with self._lock:
            return [] if self.over else self.custody.lost(covered)

    def stop(self, error: ManycoreError, *, give_up_sent: bool, flag: bytes | None = b"") -> None:
        """Take no more items in; with `give_up_sent`, `error` is the outcome of all that is unanswered, too.

        `flag` is what the workers have to be told: by default what `give_up_sent` says, None for nothing.
        """
        with self._changing():
            if not self.over:
                self._stop(error, give_up_sent=give_up_sent, flag=flag)

    def fail(self, error: BaseException) -> None:
        """End the lane: no outcome can be had any more."""
        with self._changing():
            if not self.over:
                self._cut_short = not self._no_more  # asked now: its source is about to be emptied
                self.failure = error
                self._become("failed")
                self._outbox.put(partial(self._sink.fail, error), partial(self.source.give_back, error))
                self._outbox.put(partial(self._observer.over, self))

    def check_finished(self) -> None:
        """Notice that the last outcome is there; also called when a source turns out to be exhausted."""
        with self._changing():
            self._check_finished()

    def abandoned(self) -> list[str]:
        """The payloads of chunks that are out and that nobody will answer."""
        with self._lock:
            return self.ledger.open_payloads()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock; afterwards hand on what came of it."""
        with self._lock:
            yield
        self._outbox.deliver()

    def _become(self, state: State) -> None:
        self.state = following(self.state, state)

    def _check_finished(self) -> None:
        if self.finishable:
            self._ended_at = monotonic()
            self._become("ended")
            self._outbox.put(self._sink.finish, partial(self._observer.over, self))

    def _stop(self, error: ManycoreError, *, give_up_sent: bool, flag: bytes | None = b"") -> None:
        told = flag if flag != b"" else (keys.GIVEN_UP if give_up_sent else keys.STOPPING)
        out = not self.ledger.complete if self.ephemeral else self.ledger.sent_items > 0
        abandoned: list[Sent] = []
        if told is not None and out:  # first: what follows may be its end
            self._outbox.put(partial(self._observer.stopped, self, told, abandoned))
        if self.state == "open":
            self.stop_error = error
            self._become("stopping")
            self._outbox.put(partial(self.source.give_back, error))
            total = self.source.total  # of an unsized input, what was taken from it is still given an outcome
            self._give_up_unsent(self._in_hand if total is None else total - self.ledger.sent_items, error)
        if give_up_sent:
            for span in self.ledger.unanswered():
                abandoned += self._give_up(span, error)
        self._check_finished()

    def _take_too_late(self, count: int) -> None:
        """Items were taken while the lane came to its end: nobody else has them."""
        if self.state == "failed":
            self._outbox.put(partial(self._sink.fail, self.failure or BatchCancelled(self.id)))
        elif self.source.total is None:
            self._give_up_unsent(count, self.stop_error or BatchCancelled(self.id))

    def _give_up_unsent(self, count: int, error: BaseException) -> None:
        if count > 0:
            start = self.ledger.sent_items
            self.ledger.send("", count, 0, None)
            self._give_up(range(start, start + count), error)

    def _give_up(self, indices: Sequence[int], error: BaseException, block: Block | None = None) -> list[Sent]:
        return self._accept(indices, NoValues(len(indices)), OneError(error, len(indices)), block)

    def _accept(
        self,
        indices: Sequence[int],
        values: Sequence[Any],
        errors: Mapping[int, BaseException],
        block: Block | None = None,
    ) -> list[Sent]:
        parts, finished = self.custody.answer(indices, errors.offsets if isinstance(errors, OneError) else errors)
        if parts:
            arrivals = [Arrival.of(part, values, errors, block) for part in parts]
            self._outbox.put(partial(self._sink.deliver, arrivals))
        self._check_halt(errors if parts else {})
        self._check_finished()
        return finished

    def _check_halt(self, errors: Mapping[int, BaseException]) -> None:
        failed = next(iter(errors.values()), None)
        if self.state != "open":
            return
        if isinstance(failed, InitializerFailed | PackagesFailed):  # then the batch has: no other chunk need meet it
            self._stop(failed, give_up_sent=True)
        elif self.halt.reached(len(self.ledger.answered), self.ledger.failed):
            self._stop(BatchHalted(self.id, str(self.halt)), give_up_sent=self.halt.when == "now")
