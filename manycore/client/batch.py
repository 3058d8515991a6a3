"""A batch as its caller sees it: gather it, watch it, cancel it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any, Protocol

from manycore.client.lane import Lane
from manycore.client.logs import BatchLogs
from manycore.client.outcome import Outcome
from manycore.client.passage import Arrival, Sink
from manycore.client.progress import Progress, ProgressBar
from manycore.client.raised import raise_again
from manycore.client.sinks import Inbox
from manycore.protocol.logs import LogLine

DRAW_SECONDS = 0.1


class Steering(Protocol):
    """What a batch can ask for."""

    def settle(self, lane: Lane) -> None:
        """Wait until its record says that a named batch that is done was sent whole, but not for long."""

    def cancel(self, lane: Lane, *, terminate: bool = False) -> None: ...

    def detach(self, lane: Lane, timeout: float | None = None) -> None: ...

    def delete(self, lane: Lane) -> None: ...

    def rerun_failed(self, lane: Lane, sink: Sink) -> tuple[Lane, str]: ...

    def logs(self, lane: Lane) -> BatchLogs: ...


class Batch:
    """Made by `Cluster.batch`. Every item ends in exactly one outcome; each method can be called again.

    So it keeps every outcome for as long as it lives: for results without end, `Cluster.map` forgets what was read.
    """

    def __init__(
        self,
        lane: Lane,
        inbox: Inbox,
        name: str,
        steering: Steering,
        check_owner: Callable[[], object] = lambda: None,
        *,
        show_progress: bool = False,
    ) -> None:
        self._lane = lane
        self._inbox = inbox
        self._name = name
        self._unchecked = steering
        self._logs = steering.logs(lane)
        self._check_owner = check_owner
        self._show_progress = show_progress

    @property
    def _steering(self) -> Steering:
        """Takes locks and connections, which nobody has in a forked child. Raises `ForkedCluster` there."""
        self._check_owner()
        return self._unchecked

    @property
    def id(self) -> str:
        """The batch's name in Redis, in Flower and in the logs."""
        return self._lane.id

    @property
    def progress(self) -> Progress:
        """How far the batch is, now."""
        lane = self._lane  # without its lock: each number is one that was true a moment ago
        book = lane.ledger
        return Progress(lane.total, len(book.answered), book.failed, lane.running_seconds, book.answered_before)

    def gather(self, return_exceptions: bool = False) -> list[Any]:
        """Wait for all items and give their results in the order of the input.

        An item that failed raises its own error, the one of the lowest index, once all items are done; with
        `return_exceptions`, errors stand in the list instead. Raises what ended the batch if it could not go on.
        """
        self._await_end(None)
        error = None if return_exceptions else self._first_error()
        try:
            if error is not None:
                raise_again(error)
            self._check_input()
            return self._gathered()
        finally:  # its traceback has this frame, which would hold it, and with it all that its callers have
            del self, error

    def as_completed(self) -> Iterator[Outcome]:
        """Give outcomes as they arrive, each item once; failed ones carry their error instead of raising it.

        Of a batch without an id, after a `break`, no more of a lazy input is pulled once nobody holds it any more, or
        its cluster is shut down.
        """
        self._lane.window.has_reader = True
        seen = 0
        with self._bar() as bar:
            while (arrival := self._await_arrival(seen, bar)) is not None:
                yield from outcomes_of(arrival, partial(_written, self._check_owner, self._logs, seen))
                seen += 1
        self._steering.settle(self._lane)
        self._check_input()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every item has its outcome, `timeout` seconds at most; says whether that is so."""
        return self._await_end(timeout)

    def cancel(self, *, terminate: bool = False) -> None:
        """Stop the batch, also on the workers. Items without an outcome end in `BatchCancelled`, at once.

        Items that run are let finish, for nothing; with `terminate`, their processes are killed within a second, and
        started anew. (Not on the `io` fleet, whose items share a process.)
        """
        self._steering.cancel(self._lane, terminate=terminate)

    def detach(self, timeout: float | None = None) -> str:
        """Hand a named batch over to the workers whole, and give its id: this process may end, `attach` gathers it.

        Returns once every item is in Redis, which holds all of them then. From here on the workers also look after
        messages that get lost. Raises `SettingsError` for a batch without an id, `UnknownBatch` for one that is
        deleted, and `TimeoutError`.
        """
        self._steering.detach(self._lane, timeout)
        return self.id

    def rerun_failed(self) -> Batch:
        """Run the items of a named batch again that have failed so far: as a new named batch, with their arguments.

        Its item 0 is the first that failed, and so on; this batch keeps its outcomes. A function that was shipped by
        value runs as it was sent, a `@task` as the workers have it now. Raises `SettingsError` for a batch without an
        id, `BatchIncomplete` for one that is still being sent, and `NotRetryable` when none has failed, or Redis no
        longer has what they need.
        """
        inbox = Inbox()
        lane, name = self._steering.rerun_failed(self._lane, inbox)
        return Batch(lane, inbox, name, self._steering, self._check_owner, show_progress=self._show_progress)

    def logs(self, follow: bool = False, *, index: int | None = None) -> Iterator[LogLine]:
        """What items have printed, logged and warned, line by line; with `index`, of this one only.

        With `follow`, lines come while they are written, until the batch is over. What is kept is bounded
        (docs/logs.md): of a batch the newest, for an hour after its end, of a named one as long as its outcomes.
        Raises `ConnectionFailed`.
        """
        self._check_owner()
        lane = self._lane
        return self._logs.lines(lambda: lane.over, follow=follow, index=index)

    def delete(self) -> None:
        """Delete all that Redis holds of the batch, at once if it is done; one that is not is cancelled first."""
        self._steering.delete(self._lane)

    def __repr__(self) -> str:
        progress = self.progress
        total = "?" if progress.total is None else progress.total
        return f"<Batch {self.id} of {self._name}: {progress.done}/{total} done, {progress.failed} failed>"

    def _bar(self) -> ProgressBar:
        return ProgressBar(self._name, lambda: self.progress, enabled=self._show_progress)

    def _check_input(self) -> None:
        """Raise what the input has raised."""
        source = self._lane.source
        try:
            if source.error is not None:
                raise_again(source.error, kept_by=source)
        finally:  # as there
            del self, source

    def _first_error(self) -> BaseException | None:
        """That of the lowest index."""
        failed = (arrival for arrival in self._inbox.arrivals if arrival.errors)
        first = min(failed, key=lambda arrival: arrival.start, default=None)
        return None if first is None or first.first_error is None else first.errors[first.first_error]

    def _gathered(self) -> list[Any]:
        """What came of all items: values, and errors where there is none."""
        results: list[Any] = [None] * len(self._lane.ledger.answered)
        for arrival in self._inbox.arrivals:
            results[arrival.start : arrival.stop] = arrival.values
            for offset, error in arrival.errors.items():
                results[arrival.start + offset] = error
        return results

    def _await_end(self, timeout: float | None) -> bool:
        """Wait for the end, `timeout` seconds at most; says whether it came. Raises what ended the batch otherwise."""
        self._check_owner()
        deadline = None if timeout is None else monotonic() + timeout
        inbox = self._inbox
        with self._bar() as bar:
            while not inbox.finished:
                if inbox.error is not None:
                    raise_again(inbox.error)
                remaining = None if deadline is None else deadline - monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                bar.draw()
                self._await_change(lambda: inbox.finished, _pause(remaining, bar.enabled))
        self._steering.settle(self._lane)  # who is told of the end may have others go on with the batch at once
        return True

    def _await_arrival(self, seen: int, bar: ProgressBar) -> Arrival | None:
        """The arrival after so many; None at the end. Raises what ended the batch otherwise."""
        self._check_owner()
        inbox = self._inbox
        while len(inbox.arrivals) <= seen:
            if inbox.error is not None:
                raise_again(inbox.error)
            if inbox.finished:
                return None
            bar.draw()
            self._await_change(lambda: inbox.finished or len(inbox.arrivals) > seen, _pause(None, bar.enabled))
        bar.draw()
        return inbox.arrivals[seen]

    def _await_change(self, is_there: Callable[[], bool], seconds: float | None) -> None:
        """Wait until it is there, or the batch has failed."""
        inbox = self._inbox
        inbox.changed.wait_for(lambda: is_there() or inbox.error is not None, seconds)


def outcomes_of(arrival: Arrival, written: Callable[[int], tuple[LogLine, ...]]) -> Iterator[Outcome]:
    """The outcomes of an arrival, one for each item; `written` gives what the item of an index wrote."""
    for offset, value in enumerate(arrival.values):
        seconds = arrival.seconds[offset] if len(arrival.seconds) else 0.0
        index = arrival.start + offset
        yield Outcome(
            index,
            value,
            arrival.errors.get(offset),
            arrival.attempts,
            arrival.worker,
            seconds,
        ).reading(partial(written, index))


def _written(check_owner: Callable[[], object], logs: BatchLogs, arrival: int, index: int) -> tuple[LogLine, ...]:
    """What an item wrote; knows no batch, which every outcome would hold. Raises `ForkedCluster`."""
    check_owner()
    return logs.of_item(index, arrival)


def _pause(remaining: float | None, drawing: bool) -> float | None:
    """How long to wait for the next change: a bar is drawn anew also while nothing comes."""
    if not drawing:
        return remaining
    return DRAW_SECONDS if remaining is None else min(DRAW_SECONDS, remaining)
