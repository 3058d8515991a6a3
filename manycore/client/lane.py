"""One batch's way through a client: takes items from a source, keeps the book, hands outcomes to a sink.

`submit`, `map` and `batch` differ only in their source (where items come from) and their sink (where outcomes go).
The dispatcher asks a lane for its next cut, the reader gives it what arrived; the lane's lock keeps both apart.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from manycore.client import chunking
from manycore.client.halt import NEVER, Halt
from manycore.errors import BatchCancelled, BatchHalted, ManycoreError
from manycore.protocol import keys
from manycore.protocol.ledger import Ledger, Sent
from manycore.protocol.message import Block, ItemOptions
from manycore.protocol.parcel import Parcel, Program
from manycore.protocol.ranges import RangeSet
from manycore.protocol.record import Record


@dataclass(frozen=True, slots=True)
class Cut:
    """The next items of a lane, on their way into chunks: they get the indices from `first` on."""

    first: int
    program: Program
    options: ItemOptions
    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Outcomes of consecutive items, each for the first time: values, and errors (by offset) where there is none."""

    start: int
    values: Sequence[Any]
    errors: dict[int, BaseException] = field(default_factory=dict)
    seconds: Sequence[float] = ()
    attempts: int = 1
    worker: str = ""

    @property
    def stop(self) -> int:
        return self.start + len(self.values)


class Source(Protocol):
    """Where a lane's items come from."""

    total: int | None
    """How many items there are in all, None while that is unknown."""
    error: BaseException | None
    """What the input itself raised; it ends the batch after the items before it."""

    def ready(self) -> bool:
        """Whether `take` would give items at once."""

    def exhausted(self) -> bool:
        """Whether no more items will come."""

    def take(self, most: int) -> tuple[Program, ItemOptions, Sequence[Any]] | None:
        """At most `most` items that share a program, None if those that were there are gone; called when `ready`."""

    def next_size(self, slots: int, seconds_per_item: float | None, bytes_per_item: float) -> int:
        """How many items the next chunk should take."""

    def start(self) -> None:
        """Begin to look at the input; the lane is open now."""

    def more_room(self) -> None:
        """Look again whether the input may be pulled further."""

    def close(self) -> None:
        """Take no more from the input."""

    def cut_off(self, error: BaseException) -> None:
        """Take no more from the input, and end the batch with `error` if there was more of it."""


class Sink(Protocol):
    """Where a lane's outcomes go. Called with the lane's lock held, so it must not wait."""

    def deliver(self, arrival: Arrival) -> None: ...

    def fail(self, error: BaseException) -> None:
        """The lane ended without its outcomes: the connection or the cluster is gone."""

    def finish(self) -> None:
        """Every item has its outcome."""


class Lane:
    """The state of one batch in its client."""

    def __init__(
        self, batch_id: str, source: Source, sink: Sink, *, halt: Halt = NEVER, ephemeral: bool = True
    ) -> None:
        self.id = batch_id
        self.source = source
        self.sink = sink
        self.ledger = Ledger()
        self.halt = halt
        self.ephemeral = ephemeral
        self.last_read = "0-0"
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.flag_wanted: bytes | None = None
        self.abandoned: list[Sent] = []
        self.record: Record | None = None
        self.covered = RangeSet()
        self.heard_at = monotonic()
        self.missed = RangeSet()
        self.stop_error: ManycoreError | None = None
        self.failure: BaseException | None = None
        self._started = monotonic()
        self._ended_at: float | None = None
        self.consumed: int | None = None
        self.bounded = True
        self.handed_over = False
        self.unsent = False
        self._held: deque[int] = deque()
        self._bytes_per_item = 0.0
        self._in_hand = 0

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
        """Whether every item of the input has been sent."""
        return self.stop_error is None and self._no_more and not self.unsent

    @property
    def _no_more(self) -> bool:
        """Whether no further item will be sent: none is left, and none is between `next_cut` and `sending`."""
        return self.stop_error is not None or (self.source.exhausted() and not self._in_hand)

    def ready(self, slots: int) -> bool:
        """Whether the next cut can be taken now: there are items, and the window is open."""
        return (
            not self.ended.is_set()
            and self.stop_error is None
            and (self.handed_over or self._window_is_open(slots))
            and self.source.ready()
        )

    def _window_is_open(self, slots: int) -> bool:
        return self.ledger.open_bytes < chunking.WINDOW_BYTES and (
            max(self.ledger.open_chunks, self._held_chunks()) < chunking.window_chunks(slots)
        )

    def _held_chunks(self) -> int:
        """How many chunks hold items that an ordered reader has not consumed; 0 if nobody reads in order."""
        if not self.bounded:
            return 0
        while self._held and self.consumed is not None and self._held[0] <= self.consumed:
            self._held.popleft()
        return len(self._held)

    def next_cut(self, slots: int) -> Cut | None:
        """Take the next items, None if there are none after all; called only when `ready`."""
        with self.lock:
            size = self.source.next_size(slots, self.ledger.seconds_per_item, self._bytes_per_item)
            taken = self.source.take(size) if self.stop_error is None else None
            self._in_hand = len(taken[2]) if taken else 0
            return Cut(self.ledger.sent_items, *taken) if taken and taken[2] else None

    def sending(
        self, chunk_id: str, count: int, size_bytes: int, payload_token: str | None, parcel: Parcel | None = None
    ) -> bool:
        """Note a chunk that is about to leave; False if it must not: the lane was stopped since the cut was taken."""
        with self.lock:
            if self.stop_error is not None or self.ended.is_set():
                return False
            self._in_hand -= count
            self.ledger.send(chunk_id, count, size_bytes, payload_token, parcel)
            self._bytes_per_item = size_bytes / count
            if self.consumed is not None:
                self._held.append(self.ledger.sent_items)
            return True

    def pass_over(self, cut: Cut) -> bool:
        """Whether an earlier run has answered all of a cut: then it does not leave."""
        with self.lock:
            count = len(cut.items)
            if self.record is None or self.ledger.answered.missing(cut.first, cut.first + count):
                return False
            self._in_hand -= count
            self.ledger.send("", count, 0, None)
            self.check_finished()
            return True

    def refuse(self, error: BaseException, *, unsent: bool = False) -> None:
        """The next item cannot leave: `error` is its outcome. `unsent` if others cannot know of it."""
        with self.lock:
            self.unsent |= unsent
            if self.stop_error is not None or self.ended.is_set():
                return
            self._in_hand -= 1
            index = self.ledger.sent_items
            self.ledger.send("", 1, 0, None)
            self._accept(range(index, index + 1), [None], {0: error})

    def arrived(self, block: Block, values: Sequence[Any], errors: dict[int, BaseException]) -> list[Sent]:
        """Take a verified block in; gives the chunks that it finished."""
        with self.lock:
            if self.ended.is_set():
                return []
            if block.cancelled:
                stopped = self.stop_error or BatchCancelled(self.id)
                values, errors = [None] * len(block.indices), dict.fromkeys(range(len(block.indices)), stopped)
            self.ledger.work_seconds += sum(block.seconds)
            return self._accept(block.indices, values, errors, block)

    def reject(self, chunk_id: str, error: BaseException, *, unsent: bool = False) -> list[Sent]:
        """A worker refused a chunk without reading it, or it never left: `error` is the outcome of its items."""
        with self.lock:
            self.unsent |= unsent
            sent = self.ledger.find(chunk_id)
            if sent is None:
                return []
            span = range(sent.start, sent.stop)
            return self._accept(span, [None] * len(span), dict.fromkeys(range(len(span)), error))

    def gaps(self, indices: range) -> list[range]:
        """The parts of these items that have to be sent: neither answered nor in a message since an earlier run."""
        with self.lock:
            spans = self.covered.missing(indices.start, indices.stop)
            return [gap for span in spans for gap in self.ledger.answered.missing(span.start, span.stop)]

    def lost(self, covered: RangeSet) -> list[tuple[Parcel, range]]:
        """What has to be sent again: what no message covers, now and when this was last asked."""
        with self.lock:
            found = [] if self.ended.is_set() else self.ledger.missing(covered)
            before, self.missed = self.missed, RangeSet()
            for _, span in found:
                self.missed.add(span.start, span.stop)
            return [(parcel, part) for parcel, span in found for part in before.common(span.start, span.stop)]

    def stop(self, error: ManycoreError, *, give_up_sent: bool) -> None:
        """Take no more items in; with `give_up_sent`, `error` is the outcome of all that is unanswered, too.

        Leaves in `flag_wanted` what the workers have to be told, and in `abandoned` the chunks that were out.
        """
        with self.lock:
            self.flag_wanted = keys.GIVEN_UP if give_up_sent else keys.STOPPING
            if self.stop_error is None:
                self.stop_error = error
                self.source.close()
                self._give_up_unsent(error)
            if give_up_sent:
                for span in self.ledger.unanswered():
                    failed: dict[int, BaseException] = dict.fromkeys(range(len(span)), error)
                    self.abandoned += self._accept(span, [None] * len(span), failed)
            self.check_finished()

    def fail(self, error: BaseException) -> None:
        """End the lane: no outcome can be had any more."""
        with self.lock:
            if not self.ended.is_set():
                self.failure = error
                self.source.close()
                self.sink.fail(error)
                self.ended.set()

    def check_finished(self) -> None:
        """Notice that the last outcome is there; also called when a source turns out to be exhausted."""
        with self.lock:
            if self._no_more and self.ledger.complete and not self.ended.is_set():
                self._ended_at = monotonic()
                self.ended.set()
                self.sink.finish()

    def _give_up_unsent(self, error: ManycoreError) -> None:
        """Items that will not be sent get their outcome here: of an unsized input, those that were taken from it."""
        total = self.source.total
        rest = self._in_hand if total is None else total - self.ledger.sent_items
        if rest > 0:
            start = self.ledger.sent_items
            self.ledger.send("", rest, 0, None)
            self._accept(range(start, start + rest), [None] * rest, dict.fromkeys(range(rest), error))

    def _accept(
        self,
        indices: Sequence[int],
        values: Sequence[Any],
        errors: dict[int, BaseException],
        block: Block | None = None,
    ) -> list[Sent]:
        self.heard_at = monotonic()
        fresh, finished = self.ledger.answer(indices)
        for span in fresh:
            self._deliver(span, indices.index(span.start), values, errors, block)
        self._check_halt()
        self.check_finished()
        return finished

    def _deliver(
        self, span: range, offset: int, values: Sequence[Any], errors: dict[int, BaseException], block: Block | None
    ) -> None:
        count = len(span)
        if count != len(values):
            values = values[offset : offset + count]
            errors = {at - offset: error for at, error in errors.items() if offset <= at < offset + count}
        self.ledger.failed += len(errors)
        seconds = block.seconds[offset : offset + count] if block else array("f")
        attempts, worker = (block.attempt, block.worker) if block else (0, "")
        self.sink.deliver(Arrival(span.start, values, errors, seconds, attempts, worker))

    def _check_halt(self) -> None:
        if self.stop_error is None and self.halt.reached(len(self.ledger.answered), self.ledger.failed):
            self.stop(BatchHalted(self.id, str(self.halt)), give_up_sent=self.halt.when == "now")
