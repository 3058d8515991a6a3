"""The lazy, ordered results of `Cluster.map`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from time import monotonic
from typing import Any, TypeVar, cast

from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.sinks import OrderedInbox

T_co = TypeVar("T_co", covariant=True)


class MapResults(Iterator[T_co]):
    """Yields results in the order of the input; raises an item's error at its place, which ends the iteration.

    What was read is forgotten, so memory stays bounded by the window of the batch. `close()`, an error, or dropping
    the iterator cancels what is still out.
    """

    def __init__(self, reading: OrderedReading, later: Callable[[Callable[[], object]], object]) -> None:
        # The generator must not refer to this object: dropping the last reference to it is what cancels the rest.
        self._results = reading.results()
        self._cancel = reading.cancel
        self._later = later

    def __next__(self) -> T_co:
        try:
            return cast(T_co, next(self._results))
        except BaseException:  # the end, an item's error, Ctrl-C: nobody reads on
            if not self._results.gi_running:  # type: ignore[attr-defined]  # another thread reads on, whom this one met
                self._cancel()
            raise

    def close(self) -> None:
        """Stop reading, and cancel the items that have not run. Safe to call again, and while another thread reads."""
        self._cancel()
        with suppress(ValueError):  # that one is told, and ends
            self._results.close()

    def __del__(self) -> None:
        self._later(self._cancel)  # the garbage collector calls this anywhere, under any lock: it only enqueues


@dataclass(slots=True)
class OrderedReading:
    """Reads a lane's outcomes in order. With `wake_each`, each item read makes room for one more of the input."""

    lane: Lane
    inbox: OrderedInbox
    cancel: Callable[[], None]
    wake: Callable[[], None]
    deadline: float | None
    wake_each: bool

    def results(self) -> Generator[Any, None, None]:
        consumed = 0
        while (arrival := self._await(consumed)) is not None:
            stop = arrival.stop  # before its values go, one by one
            if self.wake_each or arrival.errors:
                yield from self._one_by_one(arrival)
            else:
                yield from _letting_go(arrival.values)
            consumed = stop
            self._advance(consumed)

    def _one_by_one(self, arrival: Arrival) -> Iterator[Any]:
        places, values = range(arrival.start, arrival.stop), _letting_go(arrival.values)
        for offset, index in enumerate(places):
            if offset in arrival.errors:
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
