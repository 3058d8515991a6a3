"""Runs the items of one chunk, one after another. It knows neither Redis nor Celery.

Two threads share a run without a lock: the items' own thread takes from the left of `pending` and appends what came
out; the courier takes finished outcomes from the front and gives items away from the right of `pending`. Each step is
one atomic operation of a deque or a list.
"""

from __future__ import annotations

import traceback
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

from manycore.errors import ManycoreError
from manycore.protocol.message import CallForm, Chunk
from manycore.protocol.packing import Broken, dump_error
from manycore.worker.blackbox import BlackBox
from manycore.worker.child.limits import hard_limit, time_limit

OWN_FRAMES = __name__.rpartition(".")[0]


@dataclass(slots=True)
class Report:
    """Finished items of a run, at the consecutive positions from `start`: not yet at the caller."""

    start: int
    values: list[Any]
    seconds: array[float]
    errors: dict[int, bytes]
    retry: list[int]


@dataclass(slots=True)
class ChunkRun:
    """The state of a chunk while it runs. Items that failed with attempts left run again, and the `postponed`."""

    chunk: Chunk
    pending: deque[Any]
    box: BlackBox
    payload: bytes = b""
    shadow: str | None = None
    reported: int = 0
    given: int = 0
    cancelled: bytes | None = None
    careful_until: float = 0.0
    note: Callable[[int], object] = lambda position: None
    noted: int | None = None
    postponed: set[int] = field(default_factory=set)
    ok: int = 0
    failed: int = 0
    started: float = field(default_factory=monotonic)
    _values: list[Any] = field(default_factory=list)
    _seconds: array[float] = field(default_factory=lambda: array("f"))
    _errors: dict[int, bytes] = field(default_factory=dict)
    _retry: list[int] = field(default_factory=list)
    _offered: list[Any] = field(default_factory=list)
    _next: int = 0

    def __post_init__(self) -> None:
        self.reported = self._next = self.chunk.start

    @property
    def stop(self) -> int:
        """Where this run's positions end, seen what was given away."""
        return self.chunk.stop - self.given

    @property
    def suspect(self) -> int | None:
        """The position that careful mode noted, as long as it runs: until it is done, whoever writes must keep it."""
        return self.noted if self.noted == self.reported else None

    @property
    def unreported(self) -> int:
        """How many items have run since the last report."""
        return len(self._seconds)

    @property
    def done(self) -> int:
        """How many items have run."""
        return self.reported - self.chunk.start + len(self._seconds)

    def execute(self, call: Callable[[Any], Any]) -> None:
        """Run items until none is pending. An item's exception is its outcome; nothing of it gets out of here."""
        take, values, seconds, note = self.pending.popleft, self._values, self._seconds, self.box.note
        position = self._next
        before = perf_counter()
        while True:
            try:
                item = take()
            except IndexError:
                self._next = position
                hard_limit.disarm()
                return
            note[0] = position
            try:
                values.append(call(item))
            except BaseException as exc:  # SystemExit and KeyboardInterrupt too: they are the item's, not ours
                self._fail(position, exc)
                values.append(None)
            now = perf_counter()
            seconds.append(now - before)
            before = now
            position += 1

    def _fail(self, position: int, exc: BaseException) -> None:
        if isinstance(exc, Postponed):
            self.postponed.add(position)
            self._retry.append(position)
        elif self.chunk.attempt <= self.chunk.options.retries and not isinstance(exc, Doomed):
            self._retry.append(position)
        else:
            self._errors[position] = exc.blob if isinstance(exc, Doomed) else dump_error(exc, remote_text(exc))

    def take_report(self) -> Report | None:
        """Take what has finished since the last report; None if nothing has."""
        count = len(self._seconds)  # appended last: so many values are complete
        if not count:
            return None
        start, stop = self.reported, self.reported + count
        report = Report(
            start,
            self._values[:count],
            self._seconds[:count],
            {p: self._errors.pop(p) for p in list(self._errors) if p < stop},
            [p for p in list(self._retry) if p < stop],
        )
        del self._values[:count], self._seconds[:count], self._retry[: len(report.retry)]
        self.reported = stop
        self.failed += len(report.errors)
        self.ok += count - len(report.errors) - len(report.retry)
        return report

    def put_back(self, report: Report) -> None:
        """Take a report back that could not be written: the next one has it again."""
        self._values[:0] = report.values
        self._seconds[:0] = report.seconds
        self._errors |= report.errors
        self._retry[:0] = report.retry
        self.reported = report.start
        self.failed -= len(report.errors)
        self.ok -= len(report.values) - len(report.errors) - len(report.retry)

    def give(self, count: int) -> Chunk | None:
        """Take up to `count` items off the end and describe them as a new chunk; None if none was left."""
        taken = self._offered = []
        while len(taken) < count:
            try:
                taken.append(self.pending.pop())
            except IndexError:
                break
        if not taken:
            return None
        stop = self.stop
        self.given += len(taken)
        return self.chunk.part(stop - len(taken), stop)

    def keep(self) -> None:
        """Take back what was last given: it could not be sent. `execute` may have to be called again for it."""
        self.given -= len(self._offered)
        self.pending.extend(reversed(self._offered))
        self._offered = []

    def cancel(self, how: bytes) -> None:
        """Let no further item start; `how` is what the batch's flag says."""
        self.cancelled = how
        self.pending.clear()

    def summary(self) -> str:
        """What Flower shows as the result: `500 ok`, `498 ok, 2 failed`, `250 ok, 250 given away`."""
        rest = self.stop - self.reported
        retried = self.reported - self.chunk.start - self.ok - self.failed
        parts = (
            (self.failed, "failed"),
            (retried, "to retry"),
            (self.given, "given away"),
            (rest, "cancelled"),
        )
        return ", ".join([f"{self.ok} ok", *(f"{count} {what}" for count, what in parts if count)])


class Doomed(BaseException):
    """Raised in place of an item that must not run, with the pickled error that is its outcome."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob


class Postponed(BaseException):
    """Raised in place of an item that must not run now: it comes again as a message of its own."""


@dataclass(frozen=True, slots=True)
class Struck:
    """An item that has killed a process: `claim` raises if it must not run, `end` says that it survived."""

    item: Any
    claim: Callable[[], None]
    end: Callable[[], None]


def bind(function: Callable[..., Any], kwargs: dict[str, Any], form: CallForm) -> Callable[[Any], Any]:
    """Make a function of one argument, the item, out of the batch's function and its keyword arguments."""
    if form == "item":
        return (lambda item: function(item, **kwargs)) if kwargs else function
    if form == "star":
        return lambda item: function(*item, **kwargs)
    return lambda item: function(*item[0], **item[1], **kwargs)


def careful(call: Callable[[Any], Any], run: ChunkRun) -> Callable[[Any], Any]:
    """For a while, write what is done and which item comes next before each item: a death then costs one item."""

    def noted(item: Any) -> Any:
        if monotonic() < run.careful_until:
            hard_limit.disarm()  # the server may keep us waiting
            run.note(run.box.note[0])
        return call(item)

    return noted


def guard(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Look out for `Broken`, `Doomed` and `Struck` items: only for chunks that hold one, it costs time."""

    def guarded(item: Any) -> Any:
        if isinstance(item, Broken):
            raise item.error
        if isinstance(item, Doomed):
            raise item
        if not isinstance(item, Struck):
            return call(item)
        hard_limit.disarm()  # as in `careful`
        item.claim()
        try:
            return call(item.item)
        finally:
            hard_limit.disarm()
            item.end()

    return guarded


def limited(call: Callable[[Any], Any], seconds: float, box: BlackBox) -> Callable[[Any], Any]:
    """Bound each call to `seconds`."""

    def bounded(item: Any) -> Any:
        with time_limit(seconds, box.trace):
            return call(item)

    return bounded


def remote_text(exc: BaseException) -> str:
    """An item's traceback as text, without manycore's own frames at its start."""
    if isinstance(exc, ManycoreError) and exc.__traceback__ is None:
        return ""
    trace = exc.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(OWN_FRAMES):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(exc), exc, trace))


def as_indices(chunk: Chunk, positions: Sequence[int]) -> tuple[int, ...]:
    """The item indices at these positions."""
    return tuple(chunk.index(position) for position in positions)
