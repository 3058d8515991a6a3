"""Runs the items of one chunk, one after another. It knows neither Redis nor Celery."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from manycore.protocol.failure import is_a
from manycore.protocol.message import Chunk
from manycore.protocol.packing import Opened, Pickled
from manycore.protocol.pickling import dumps
from manycore.protocol.resume import Resume
from manycore.worker.blackbox import BlackBox
from manycore.worker.child import copies
from manycore.worker.child.ahead import items_ahead
from manycore.worker.child.items import Items
from manycore.worker.child.limits import end_timers, rest
from manycore.worker.child.tally import Tally
from manycore.worker.child.turn import (
    AS_IT_IS,
    Call,
    Doomed,
    NotBegun,
    Postponed,
    Skipped,
    Turn,
    described,
    kept,
    name_of_error,
)

if TYPE_CHECKING:
    from manycore.worker.child.capture import Capture
    from manycore.worker.child.claims import Claims
    from manycore.worker.child.staying import Stay

SHORT_SECONDS = 4e-6
"""To take the time of an item that is shorter takes a fiftieth of it, or more."""
GAUGED, GROUP = 64, 16
"""So many items of a `map` are timed each, and when they are short so many at once."""


class ChunkRun:
    """A chunk while it runs. Items that failed with attempts left run again, and the postponed.

    `payload` is what the chunk's message carries, and its parts' messages too; `held` all of it, opened.
    """

    def __init__(
        self,
        chunk: Chunk,
        items: Iterable[Any],
        box: BlackBox,
        *,
        payload: bytes = b"",
        held: Opened | None = None,
        queue: str = "",
        shadow: str | None = None,
        max_item_bytes: int = 1 << 62,
        token: str = "",
        before: str = "",
        careful: int = 0,
        claims: Claims | None = None,
        pickled: Callable[[Any], Pickled] | None = None,
    ) -> None:
        self.chunk = chunk
        self.items = Items(chunk, items)
        self.tally = Tally(chunk)
        self.box = box
        self.payload = payload
        self.held = held or Opened([], separate=False)
        self.queue = queue
        self.shadow = shadow
        self.max_item_bytes = max_item_bytes
        self.pickled = pickled or (lambda value: Pickled(dumps(value, "The result", max_item_bytes)))
        self.started = monotonic()
        self.token = token
        """Which run of the chunk it is."""
        self.before = before
        """Earlier runs (words) whose fate nobody saw, and that may have begun the items below `careful`."""
        self.careful = careful
        """The items at the positions before this are claimed before they run."""
        self.careful_until = 0.0
        """Until then, all are."""
        self.claims = claims
        self.claim: Callable[[int], object] = lambda position: None
        """Set by the courier, called by the items' thread: claim the item at this position, or raise why not."""
        self.settle: Callable[[int], object] = lambda position: None
        """Likewise: it has come to its end."""
        self.cancelled: bytes | None = None
        """Written by the courier: how, as the batch's flag says."""
        self.capture: Capture | None = None
        """What its items write, if anybody listens."""
        self.stay: Stay | None = None
        """The delivery that its last report acknowledges, if it can, unless its slot stays with it."""
        self.fate = 0
        """Written by the courier: what became of that (`summary`)."""
        self.repeated = False
        """Whether the chunk was delivered, or sent, before."""
        self._shared = False
        self.next = chunk.start
        """The items' thread's own: the position that comes next."""
        self._stumbled_at = -1

    @property
    def stop(self) -> int:
        """Where this run's positions end, seen what was given away."""
        return self.items.stop

    def must_claim(self, position: int) -> bool:
        """Whether this item may have died unseen in an earlier run."""
        return position < self.careful or monotonic() < self.careful_until

    def unseen(self, position: int) -> str:
        """The earlier runs of which one may have begun this item."""
        return self.before if self.must_claim(position) else ""

    @property
    def unsuspected(self) -> int:
        """How many of the items at the end are no suspects."""
        return 0 if monotonic() < self.careful_until else max(0, self.stop - self.careful)

    @property
    def is_followed(self) -> bool:
        """Whether it came as its client has cut it, and more of its batch behind it."""
        chunk = self.chunk
        return chunk.start == 0 and chunk.total is not None and chunk.first + chunk.stop < chunk.total

    @property
    def has_news(self) -> bool:
        """Whether there is anything to carry away, or to give."""
        return bool(self.items) or self.has_something

    @property
    def has_something(self) -> bool:
        """Whether there is anything to carry away."""
        return bool(self.tally.unreported) or self.has_printed

    @property
    def has_printed(self) -> bool:
        """Whether something that its items wrote is to be carried away."""
        return self.capture is not None and self.capture.waits

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return monotonic() - self.started

    def more(self) -> int:
        """How many more items may be begun as soon as Redis knows it. Those too far ahead are held back."""
        return 0 if self._shared else self.items.hold(items_ahead(self.tally.done, self.elapsed))

    def release_all(self) -> None:
        """Let shared items be taken: their turn is another now, in which each is claimed."""
        if self._shared:
            self.items.release(len(self.items))

    def share_with(self, other: str) -> None:
        """Another run may have what we have not begun: it takes ours for dead, or our message for its own."""
        if self._shared:
            return
        self.items.hold(0)
        self.before, self.careful, self._shared = f"{self.before} {other}".strip(), self.chunk.stop, True

    def resume(self, start: int, begun: int) -> Resume:
        """How far it is: from `start` on all is still to run, and from `begun` on nothing has begun."""
        stop = self.stop
        return Resume(self.chunk.first, start, stop, min(self.careful, stop), begun, self.token, self.before)

    def give(self, count: int) -> Chunk | None:
        """Take up to `count` items off the end, as a new chunk; None if none was left."""
        part = self.items.give(count)
        return replace(part, suspect=self.unseen(part.start)) if part is not None else None

    def execute(self, turn: Call) -> None:
        """Run items until none is pending. An item's exception is its outcome; nothing of it gets out of here.

        Raises `NotBegun` if an item could not be claimed before its turn.
        """
        copies.stop_with(self.items)
        if self.chunk.is_of_map and not isinstance(turn, Turn):
            while (mean := self._one_by_one(turn, range(self.next, self.next + GAUGED))) is not None:
                if mean < SHORT_SECONDS and not self._together(turn):
                    break
        else:
            self._one_by_one(turn, count(self.next))
        copies.leave_if_copy()  # first: to disarm is to wait for a thread that a copy does not have
        rest()

    def _one_by_one(self, turn: Call, positions: Iterable[int]) -> float | None:
        """Run the items there. Says how long one took; None if no more are left."""
        take, note, as_it_is, kind = self.items.take, self.box.note, AS_IT_IS, type
        values, seconds = self.tally.values, self.tally.seconds
        start = before = perf_counter()
        for position in positions:
            try:
                item = take()
            except IndexError:
                self.next = position
                return None
            note[0] = position
            try:
                value = turn(item)
                if kind(value) not in as_it_is:
                    value = kept(value, self.pickled)
            except NotBegun:
                raise
            except BaseException as exc:  # SystemExit and KeyboardInterrupt too: they are the item's, not ours
                self._fail(position, exc)
                value = None
            values.append(value)
            now = perf_counter()
            seconds.append(now - before)
            before = now
        done, self.next = position + 1 - self.next, position + 1
        return (before - start) / done

    def _together(self, turn: Call) -> bool:
        """Run items as long as they are short, and read the clock for several at once: of such that takes a third of
        the time, and nobody is shown what each of them took. Says whether more are left."""
        take, note, as_it_is, kind = self.items.take, self.box.note, AS_IT_IS, type
        values, seconds = self.tally.values, self.tally.seconds
        mean, before = 0.0, perf_counter()
        while mean < SHORT_SECONDS:
            start, left = self.next, True
            for position in range(start, start + GROUP):
                try:
                    item = take()
                except IndexError:
                    left = False
                    break
                note[0] = position
                try:
                    value = turn(item)
                    if kind(value) not in as_it_is:
                        value = kept(value, self.pickled)
                except BaseException as exc:  # as above
                    self._fail(position, exc)
                    value = None
                values.append(value)
            self.next = position + left
            done, now = self.next - start, perf_counter()
            mean, before = (now - before) / max(1, done), now
            seconds.extend(array("f", (mean,)) * done)
            if not left:
                return False
        return True

    def _fail(self, position: int, exc: BaseException) -> None:
        copies.leave_if_copy(exc)
        end_timers()
        again = self.chunk.attempt <= self.chunk.options.retries and not is_a(exc, Doomed)
        if is_a(exc, Postponed):
            self.tally.postponed.add(position)
            self.tally.retry.append(position)
        elif again or is_a(exc, Skipped):
            self.tally.retry.append(position)
        else:
            self.tally.names[position] = name_of_error(exc)
            self.tally.errors[position] = described(exc, self.max_item_bytes)

    def recover(self, exc: BaseException) -> None:
        """Make `execute` go on where it was left by an exception that no item let out: what handles a signal raises
        wherever we are. An item that was at hand ends by it. Raises it if nothing comes of that. Not beside reports."""
        tally = self.tally
        position = tally.catch_up()
        begun = position if self.cancelled else self.stop - len(self.items)
        if position < begun:
            if position not in tally.errors and position not in tally.retry:  # as it may have been noted before
                self._fail(position, Skipped() if position in tally.skipped else exc)
            tally.values.append(None)
            tally.catch_up()
        elif position == self._stumbled_at:
            raise exc
        else:
            self._stumbled_at = position
        self.next = begun

    def cancel(self, how: bytes) -> None:
        """Let no further item start; `how` is what the batch's flag says."""
        self.cancelled = how
        self.items.drop()

    def summary(self) -> str:
        """What Flower shows as the result: `500 ok`, `498 ok, 2 failed`, `250 ok, 250 given away`."""
        tally = self.tally
        rest = self.stop - tally.reported
        skipped = sum(self.chunk.start <= position < tally.reported for position in tally.skipped)
        retried = tally.reported - self.chunk.start - tally.ok - tally.failed - skipped
        parts = (
            (tally.failed, "failed"),
            (retried, "to retry"),
            (self.items.given, "given away"),
            (rest, "cancelled"),
        )
        return ", ".join([f"{tally.ok} ok", *(f"{count} {what}" for count, what in parts if count)])
