"""Runs the items of one chunk, one after another. It knows neither Redis nor Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, perf_counter
from typing import Any

from manycore.protocol.message import Chunk
from manycore.protocol.packing import Opened
from manycore.worker.blackbox import BlackBox
from manycore.worker.child import copies
from manycore.worker.child.items import Items
from manycore.worker.child.limits import hard_limit
from manycore.worker.child.tally import Tally
from manycore.worker.child.turn import AS_IT_IS, Call, Doomed, NotBegun, Postponed, described, kept, name_of_error


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
        self.started = monotonic()
        self.careful_until = 0.0
        self.announce: Callable[[int | None], object] = lambda position: None
        """Set by the courier, called by the items' thread: write that this position is about to run."""
        self.cancelled: bytes | None = None
        """Written by the courier: how, as the batch's flag says."""
        self.noted: int | None = None
        """Written under the courier's lock: the position that careful mode noted last."""
        self._next = chunk.start
        """The items' thread's own."""

    @property
    def stop(self) -> int:
        """Where this run's positions end, seen what was given away."""
        return self.items.stop

    @property
    def suspect(self) -> int | None:
        """The position that careful mode noted, as long as it runs: until it is done, whoever writes must keep it."""
        return self.noted if self.noted == self.tally.reported else None

    def execute(self, turn: Call) -> None:
        """Run items until none is pending. An item's exception is its outcome; nothing of it gets out of here.

        Raises `NotBegun` if an item could not be noted before its turn.
        """
        take, note, as_it_is, kind = self.items.take, self.box.note, AS_IT_IS, type
        values, seconds = self.tally.values, self.tally.seconds
        position = self._next
        copies.stop_with(self.items)
        before = perf_counter()
        while True:
            try:
                item = take()
            except IndexError:
                self._next = position
                hard_limit.disarm()
                copies.leave_if_copy()
                return
            note[0] = position
            try:
                value = turn(item)
                if kind(value) not in as_it_is:
                    value = kept(value, self.max_item_bytes)
            except NotBegun:
                raise
            except BaseException as exc:  # SystemExit and KeyboardInterrupt too: they are the item's, not ours
                self._fail(position, exc)
                value = None
            values.append(value)
            now = perf_counter()
            seconds.append(now - before)
            before = now
            position += 1

    def _fail(self, position: int, exc: BaseException) -> None:
        copies.leave_if_copy(exc)
        if isinstance(exc, Postponed):
            self.tally.postponed.add(position)
            self.tally.retry.append(position)
        elif self.chunk.attempt <= self.chunk.options.retries and not isinstance(exc, Doomed):
            self.tally.retry.append(position)
        else:
            self.tally.names[position] = name_of_error(exc)
            self.tally.errors[position] = described(exc, self.max_item_bytes)

    def cancel(self, how: bytes) -> None:
        """Let no further item start; `how` is what the batch's flag says."""
        self.cancelled = how
        self.items.drop()

    def summary(self) -> str:
        """What Flower shows as the result: `500 ok`, `498 ok, 2 failed`, `250 ok, 250 given away`."""
        tally = self.tally
        rest = self.stop - tally.reported
        retried = tally.reported - self.chunk.start - tally.ok - tally.failed
        parts = (
            (tally.failed, "failed"),
            (retried, "to retry"),
            (self.items.given, "given away"),
            (rest, "cancelled"),
        )
        return ", ".join([f"{tally.ok} ok", *(f"{count} {what}" for count, what in parts if count)])
