"""The lazy, ordered results of `Cluster.map`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from time import monotonic
from typing import Any, TypeVar

from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.sinks import OrderedInbox

T_co = TypeVar("T_co", covariant=True)


class MapResults(Iterator[T_co]):
    """Yields results in the order of the input; raises an item's error at its place, which ends the iteration.

    What was read is forgotten, so memory stays bounded by the window of the batch. `close()`, an error, or dropping
    the iterator cancels what is still out. Threads may read one together: each result goes to one of them.
    """

    def __init__(self, reading: OrderedReading, later: Callable[[Callable[[], object]], object]) -> None:
        self._reading = reading
        self._part: Iterator[T_co] = iter(())
        self._turn = threading.Lock()
        """Of the one who waits for the next part."""
        self._later = later

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
        """Stop reading, and cancel the items that have not run. Safe to call again, and while another thread reads."""
        self._reading.end()
        self._part = iter(())

    def __del__(self) -> None:
        # The garbage collector calls this anywhere, under any lock: it only enqueues.
        self._later(self._reading.cancel)

    def _parts(self) -> Iterator[Iterator[T_co]]:
        """Refers to this object, which must not refer to it: dropping the last reference is what cancels the rest."""
        part = self._part
        yield part
        while self._go_on(part):
            part = self._part
            yield part

    def _go_on(self, read: Iterator[T_co]) -> bool:
        """Once `read` was read to its end: whether there is more, which is in `_part` then."""
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
    over: bool = False
    _given: int = 0

    def next_part(self) -> Iterator[Any] | None:
        """The values that come next, once all before them were read; None at the end. Raises what ended the batch."""
        if self._given:
            self._advance(self._given)
        arrival = self._await(self._given)
        if arrival is None:
            return None
        self._given = arrival.stop  # before its values go, one by one
        one_by_one = self.wake_each or arrival.errors
        return self._one_by_one(arrival) if one_by_one else _letting_go(arrival.values)

    def end(self) -> None:
        """Nothing more is read; what has not run is cancelled."""
        self.over = True
        self.cancel()

    def _one_by_one(self, arrival: Arrival) -> Iterator[Any]:
        places, values = range(arrival.start, arrival.stop), _letting_go(arrival.values)
        for offset, index in enumerate(places):
            if offset in arrival.errors:
                self.end()
                raise arrival.errors[offset]
            self._advance(index + 1)
            yield next(values)

    def _advance(self, consumed: int) -> None:
        """Say how far the reader is: it makes room for more of the input."""
        self.lane.window.consumed = consumed
        self.wake()

    def _await(self, index: int) -> Arrival | None:
        """The arrival that starts with item `index`, None at the end. Raises what ended the batch."""
        inbox = self.inbox
        with inbox.changed:
            while True:
                arrival = inbox.by_start.pop(index, None)
                if arrival is not None:
                    return arrival
                if inbox.error is not None:
                    raise inbox.error
                if inbox.finished:
                    if self.lane.source.error is not None:
                        raise self.lane.source.error
                    return None
                remaining = None if self.deadline is None else self.deadline - monotonic()
                if remaining is not None and remaining <= 0:
                    raise TimeoutError(f"Item {index} has no result within the timeout given to map().")
                inbox.changed.wait(remaining)


def _letting_go(values: Sequence[Any]) -> Iterator[Any]:
    """The values, of which none is held here once it is given: one may be large. At C speed: every item comes here."""
    left = values if isinstance(values, list) else list(values)
    left.reverse()
    return map(list.pop, repeat(left, len(left)))
