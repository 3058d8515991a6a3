"""What one batch has sent and what has come back: the client's book, by item index.

It deduplicates outcomes (the first one wins), tells which chunks are finished, and so how much is out. It neither
sends nor waits, and its users hold their own lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from manycore.protocol.parcel import Parcel
from manycore.protocol.ranges import RangeSet


@dataclass(slots=True)
class Sent:
    """A chunk that was sent: the items `[start, stop)`, of which `unanswered` have no outcome yet; has one `failed`?
    (Said where the ledger keeps failures.)

    `heard_at` is when it was sent, or last answered in part (monotonic).
    """

    id: str
    start: int
    stop: int
    size_bytes: int
    payload_token: str | None
    unanswered: int
    parcel: Parcel | None = None
    failed: bool = False
    heard_at: float = field(default_factory=monotonic)


class Part(NamedTuple):
    """Items with consecutive indices, and where the first of them stands among the outcomes that came."""

    span: range
    offset: int


class Ledger:
    """Chunks in the order they were sent; their items have consecutive indices."""

    def __init__(self, *, keeps_failures: bool = True) -> None:
        self.answered = RangeSet()
        self.sent_items = 0
        self.expected_items = 0
        """How far outcomes may be ahead of what was sent: a batch that is gone on with has some already."""
        self.answered_before = 0
        """How many items an earlier run of the batch had answered, or its client before others attached."""
        self.open_bytes = 0
        self.failed = 0
        """How many items have failed."""
        self.failures = RangeSet()
        """The items whose first outcome is an error; empty where nobody can run them again, and calls have no end."""
        self._keeps_failures = keeps_failures
        self.work_seconds = 0.0
        self.queues: set[str] = set()
        """Where its chunks were sent: where to look for one that is silent."""
        self.programs: set[str] = set()
        """What they run, by name."""
        self._starts: list[int] = []
        self._open: dict[int, Sent] = {}
        self._by_id: dict[str, Sent] = {}

    @property
    def open(self) -> list[Sent]:
        """The chunks that have items without an outcome."""
        return list(self._open.values())

    @property
    def open_chunks(self) -> int:
        """How many chunks have items without an outcome."""
        return len(self._open)

    @property
    def complete(self) -> bool:
        """Whether every item that was sent has its outcome."""
        return not self._open

    @property
    def seconds_per_item(self) -> float | None:
        """What items took so far, None before the first outcome."""
        return self.work_seconds / len(self.answered) if len(self.answered) else None

    def send(
        self, chunk_id: str, count: int, size_bytes: int, payload_token: str | None, parcel: Parcel | None = None
    ) -> None:
        """Note a chunk of the next `count` items."""
        start = self.sent_items
        self.sent_items += count
        if parcel is not None:
            self.queues.add(parcel.program.queue)
            self.programs.add(parcel.program.name)
        unanswered = sum(map(len, self.answered.missing(start, start + count)))
        if unanswered:  # of a batch that is gone on with, outcomes can be there before
            sent = Sent(chunk_id, start, start + count, size_bytes, payload_token, unanswered, parcel)
            self._open[start] = self._by_id[chunk_id] = sent
            self._starts.append(start)
            self.open_bytes += size_bytes

    def answer(self, indices: Sequence[int], errors: Collection[int] = ()) -> tuple[list[Part], list[Sent]]:
        """Note outcomes, `errors` at these offsets; gives those of `indices` that had none before, and the chunks that
        this finished."""
        end = max(self.sent_items, self.expected_items)
        if isinstance(indices, range):
            found = self.answered.add(indices.start, min(indices.stop, end))
            fresh = [Part(span, span.start - indices.start) for span in found]
        else:
            add = self.answered.add
            fresh = [Part(s, at) for at, index in enumerate(indices) if index < end for s in add(index, index + 1)]
        for part in fresh if errors else ():
            for span in _failing(part, errors):
                self.failed += len(span)
                if self._keeps_failures:
                    self.failures.add(span.start, span.stop)
        return fresh, [sent for part in fresh for sent in self._settle(part.span)]

    def silent_since(self) -> float:
        """When the open chunk that has been silent for longest was last heard of (monotonic)."""
        return min((sent.heard_at for sent in self.open), default=monotonic())

    def unanswered(self) -> list[range]:
        """The items that were sent and have no outcome."""
        return self.answered.missing(0, self.sent_items)

    def missing(self, covered: RangeSet) -> list[tuple[Parcel, range]]:
        """What is neither answered nor `covered` by a message, with the parcels to send it again from."""
        return [
            (sent.parcel, gap)
            for sent in self._open.values()
            if sent.parcel is not None
            for span in self.answered.missing(sent.start, sent.stop)
            for gap in covered.missing(span.start, span.stop)
        ]

    def find(self, chunk_id: str) -> Sent | None:
        """The open chunk of this id."""
        return self._by_id.get(chunk_id)

    def open_payloads(self) -> list[str]:
        return [sent.payload_token for sent in self.open if sent.payload_token]

    def _settle(self, part: range) -> Iterator[Sent]:
        """Count `part` as answered in the chunks that sent it; gives the chunks that are finished now."""
        place = max(0, bisect_right(self._starts, part.start) - 1)
        start, now = part.start, monotonic()
        while start < part.stop and place < len(self._starts):
            sent = self._open[self._starts[place]]
            start = max(start, sent.start)
            if start >= sent.stop:
                place += 1
                continue
            if start >= part.stop:
                return
            stop = min(part.stop, sent.stop)
            sent.unanswered -= stop - start
            sent.heard_at = now
            start = stop
            if sent.unanswered:
                place += 1
                continue
            sent.failed = bool(self.failures.common(sent.start, sent.stop))
            del self._open[sent.start], self._starts[place]
            self._by_id.pop(sent.id, None)
            self.open_bytes -= sent.size_bytes
            yield sent


def _failing(part: Part, errors: Collection[int]) -> Iterator[range]:
    """The items of a part that have an error at their offset."""
    offsets, before = range(part.offset, part.offset + len(part.span)), part.span.start - part.offset
    if isinstance(errors, range):  # a cancelled batch has any number
        start, stop = max(errors.start, offsets.start), min(errors.stop, offsets.stop)
        yield range(before + start, before + max(start, stop))
    elif len(errors) >= len(offsets) and all(map(errors.__contains__, offsets)):
        yield part.span
    else:
        for at in errors if len(errors) < len(offsets) else offsets:
            if at in offsets and at in errors:
                yield range(before + at, before + at + 1)
