"""The lazy, ordered results of `Cluster.map`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from time import monotonic
from typing import Any, TypeVar

from manycore.client.dropped import Dropped
from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.raised import raisable, raise_again
from manycore.client.sinks import OrderedInbox

T_co = TypeVar("T_co", covariant=True)


class MapResults(Iterator[T_co]):
    """Yields results in the order of the input; raises an item's error at its place, which ends the iteration.

    What was read is forgotten, so memory stays bounded by the window of the batch. `close()`, an error, or dropping
    an iterator that was begun cancels what is still out. Threads may read one together: each result goes to one.

    Of one that nobody has begun to read, all items run, also once it is dropped: they may be wanted for what they do.
    (With a `buffersize` they wait for a reader.)
    """

    def __init__(self, reading: OrderedReading, later: Callable[[Callable[[], object]], object]) -> None:
        self._reading = reading
        self._part: Iterator[T_co] = iter(())
        self._turn = threading.Lock()
        """Of the one who waits for the next part."""
        reading.lane.reader = Dropped(self, later, reading.drop)

    def __iter__(self) -> Iterator[T_co]:
        """Reads at C speed: every item comes here. Whoever reads on elsewhere goes on where this one is."""
        return chain.from_iterable(self._parts())

    def __next__(self) -> T_co:
        part = self._part
        while True:
            for value in part:
                return value
            if not self._go_on(part):
                raise StopIteration
            part = self._part

    def close(self) -> None:
        """Stop reading, and cancel the items that have not run. Safe to call again, and while another thread reads.

        Raises `ForkedCluster` in a child of the process that reads, whose results stay as they are.
        """
        self._reading.end()
        self._part = iter(())

    def _parts(self) -> Iterator[Iterator[T_co]]:
        """Refers to this object, which must not refer to it: dropping the last reference is what cancels the rest."""
        part = self._part
        yield part
        while self._go_on(part):
            part = self._part
            yield part

    def _go_on(self, read: Iterator[T_co]) -> bool:
        """Once `read` was read to its end: whether there is more, which is in `_part` then. Raises `ForkedCluster`."""
        self._reading.check_owner()  # first: a child closes nothing, whose locks may be held for ever there
        try:
            with self._turn:
                if self._reading.over or self._part is not read:  # another thread has gone on
                    return not self._reading.over
                part = self._reading.next_part()
                if part is not None:
                    self._part = part
                    return True
        except BaseException:  # an error of the batch, Ctrl-C: nobody reads on
            self.close()
            raise
        self.close()
        return False


@dataclass(slots=True)
class OrderedReading:
    """Reads a lane's outcomes in order. With `wake_each`, each item read makes room for one more of the input."""

    lane: Lane
    inbox: OrderedInbox
    cancel: Callable[[], None]
    wake: Callable[[], None]
    deadline: float | None
    wake_each: bool
    check_owner: Callable[[], object] = lambda: None
    over: bool = False
    _given: int = 0
    _advancing: threading.Lock = field(default_factory=threading.Lock)

    def next_part(self) -> Iterator[Any] | None:
        """The values that come next, once all before them were read; None at the end. Raises what ended the batch."""
        self.lane.window.has_reader = True
        if self._given:
            self.advance(self._given)
        arrival = self._await(self._given)
        if arrival is None:
            return None
        self._given = arrival.stop  # before its values go, one by one
        one_by_one = self.wake_each or arrival.errors
        return OneByOne(self, arrival) if one_by_one else _letting_go(arrival.values)

    def end(self) -> None:
        """Nothing more is read; what has not run is cancelled. Raises `ForkedCluster`."""
        self.check_owner()
        self.over = True
        self.cancel()

    def drop(self) -> None:
        """Nobody can read any more. What somebody has begun to read is wanted for its results, and cancelled."""
        if self.wake_each or self.lane.window.has_reader:
            self.cancel()
        else:
            self.inbox.close()
            self.lane.window.stop_holding()
            self.wake()

    def advance(self, consumed: int) -> None:
        """Say how far the reader is: it makes room for more of the input."""
        window = self.lane.window
        with self._advancing:  # threads that read together come here in any order
            window.consumed = max(window.consumed, consumed)
        self.wake()

    def _await(self, index: int) -> Arrival | None:
        """The arrival that starts with item `index`, None at the end. Raises what ended the batch."""
        inbox = self.inbox
        remaining = None if self.deadline is None else self.deadline - monotonic()
        if not inbox.changed.wait_for(lambda: self._is_decided(index), remaining):
            raise TimeoutError(f"Item {index} has no result within the timeout given to map().")
        arrival = inbox.by_start.pop(index, None)
        if arrival is None and inbox.error is not None:
            raise_again(inbox.error)
        if arrival is None and self.lane.source.error is not None:
            raise_again(self.lane.source.error, kept_by=self.lane.source)
        return arrival

    def _is_decided(self, index: int) -> bool:
        """Whether item `index` has come, or never will."""
        inbox = self.inbox
        return index in inbox.by_start or inbox.error is not None or inbox.finished


class OneByOne(Iterator[Any]):
    """The values of an arrival, an error at its place. Not a generator: threads may read it together."""

    def __init__(self, reading: OrderedReading, arrival: Arrival) -> None:
        self._reading = reading
        self._start = arrival.start
        first = arrival.first_error  # it ends the reading: of what may be many items, no more are looked at
        count = len(arrival.values) if first is None else first + 1
        self._values = arrival.values if isinstance(arrival.values, list) else list(islice(arrival.values, count))
        self._errors = {} if first is None else {first: arrival.errors[first]}
        self._offsets = iter(range(count))

    def __next__(self) -> Any:
        if self._reading.over:
            raise StopIteration
        self._reading.check_owner()  # each item moves the window, or ends the batch
        offset = next(self._offsets)
        if offset in self._errors:
            self._reading.end()
            raise_again(raisable(self._errors.pop(offset)))  # not held here, by a frame that its traceback has
        value, self._values[offset] = self._values[offset], None  # not held here: it may be large
        self._reading.advance(self._start + offset + 1)
        return value


def _letting_go(values: Sequence[Any]) -> Iterator[Any]:
    """The values, of which none is held here once it is given: one may be large. At C speed: every item comes here."""
    left = values if isinstance(values, list) else list(values)
    left.reverse()
    return map(list.pop, repeat(left, len(left)))
