"""`MapResults` gives values in the order of the input, whatever order they came in."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.client.givenup import NoValues, OneError
from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.results import MapResults, OrderedReading
from manycore.client.sinks import OrderedInbox
from manycore.client.sources import ReadySource
from manycore.errors import BatchCancelled
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program


class Map:
    """The results of a `map` whose arrivals the test delivers."""

    def __init__(self, *, deadline: float | None = None, wake_each: bool = False) -> None:
        self.inbox = OrderedInbox()
        source = ReadySource(iter(()), 0, Program("t", "cpu"), ItemOptions())
        self.lane = Lane("b", source, self.inbox)
        self.cancelled = 0
        self.consumed: list[int | None] = []
        self.results: MapResults[Any] = MapResults(
            OrderedReading(self.lane, self.inbox, self._cancel, self._wake, deadline, wake_each),
            later=lambda job: job(),
        )

    def _cancel(self) -> None:
        self.cancelled += 1

    def _wake(self) -> None:
        self.consumed.append(self.lane.window.consumed)


@given(st.lists(st.integers(1, 6), max_size=8), st.randoms(use_true_random=False), st.booleans())
def test_values_come_in_the_order_of_the_input(sizes: list[int], random: Random, wake_each: bool) -> None:
    mapped, total = Map(wake_each=wake_each), sum(sizes)
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    arrivals = [Arrival(start, range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
    for arrival in random.sample(arrivals, len(arrivals)):
        mapped.inbox.deliver([arrival])
    mapped.inbox.finish()
    assert list(mapped.results) == list(range(total))
    assert not mapped.inbox.by_start
    assert mapped.lane.window.consumed == total


def test_an_error_is_raised_at_its_place_and_ends_the_iteration() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a", None, "c"], {1: KeyError("k")})])
    assert next(mapped.results) == "a"
    with pytest.raises(KeyError):
        next(mapped.results)
    assert mapped.cancelled
    with pytest.raises(StopIteration):
        next(mapped.results)


def test_of_any_number_of_items_that_are_given_up_the_first_is_raised() -> None:
    mapped, error = Map(), BatchCancelled("b")
    mapped.inbox.deliver([Arrival(0, NoValues(10**15), OneError(error, 10**15))])
    with pytest.raises(BatchCancelled):
        next(mapped.results)
    assert mapped.cancelled
    assert list(mapped.results) == []


def test_an_item_that_raises_stop_iteration_does_not_look_like_the_end() -> None:
    mapped, error = Map(), StopIteration(7)
    mapped.inbox.deliver([Arrival(0, ["a", None, "c"], {1: error})])
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        list(mapped.results)
    assert caught.value.__cause__ is error


def test_a_reader_with_a_buffer_makes_room_item_by_item() -> None:
    mapped = Map(wake_each=True)
    mapped.inbox.deliver([Arrival(0, ["a", "b"])])
    next(mapped.results)
    assert mapped.consumed == [1]
    next(mapped.results)
    assert mapped.consumed == [1, 2]


def test_what_has_not_come_in_time_is_a_timeout() -> None:
    mapped = Map(deadline=0.0)
    mapped.inbox.deliver([Arrival(0, ["a"])])
    assert next(mapped.results) == "a"
    with pytest.raises(TimeoutError, match=r"Item 1 has no result within the timeout given to map\(\)"):
        next(mapped.results)
    assert mapped.cancelled


def test_what_ended_the_batch_is_raised_after_what_came_before() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a"])])
    mapped.inbox.fail(ConnectionError())
    assert next(mapped.results) == "a"
    with pytest.raises(ConnectionError):
        next(mapped.results)


def test_an_error_of_the_input_is_raised_after_its_items() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a"])])
    mapped.lane.source.error = LookupError()
    mapped.inbox.finish()
    found: list[Any] = []
    with pytest.raises(LookupError):
        found.extend(iter_into(mapped.results, found))
    assert found == ["a"]


def iter_into(results: Iterator[Any], found: list[Any]) -> Iterator[Any]:
    for value in results:
        found.append(value)
        yield from ()


def test_closing_cancels_and_ends() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a", "b"])])
    next(mapped.results)
    mapped.results.close()
    mapped.results.close()
    assert mapped.cancelled
    assert list(mapped.results) == []


@pytest.mark.parametrize(("wake_each", "begun"), [(False, True), (True, True), (True, False)])
def test_a_forgotten_iterator_cancels_what_was_for_its_reader(wake_each: bool, begun: bool) -> None:
    mapped = Map(wake_each=wake_each)
    mapped.inbox.deliver([Arrival(0, ["a"])])
    if begun:
        next(mapped.results)
    cancelled = mapped.cancelled
    del mapped.results
    assert mapped.cancelled > cancelled


def test_one_that_nobody_has_begun_to_read_runs_on_and_keeps_nothing() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a"])])
    del mapped.results
    mapped.inbox.deliver([Arrival(1, ["b"])])
    assert not mapped.cancelled
    assert not mapped.inbox.by_start
    assert not mapped.lane.window.ordered
    assert mapped.consumed, "the sender has been told"


@pytest.mark.parametrize("errors", [{}, {5_000: KeyError("k")}])
def test_threads_may_read_one_together(errors: dict[int, BaseException]) -> None:
    mapped = Map(wake_each=True)
    mapped.inbox.deliver([Arrival(start, list(range(start, start + 10)), errors_in(errors, start)) for start in TENS])
    mapped.inbox.finish()

    def read() -> list[int]:
        found: list[int] = []
        with suppress(KeyError):
            found.extend(iter_into(mapped.results, found))
        return found

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            found = sorted(chain.from_iterable(call.result() for call in [threads.submit(read) for _ in range(4)]))
    finally:
        sys.setswitchinterval(before)
    assert len(found) == len(set(found)), "each result goes to one of them"
    if errors:
        assert set(range(4_990)) <= set(found) <= set(range(5_010)) - {5_000}
    else:
        assert found == list(range(10_000))
        assert mapped.lane.window.consumed == 10_000


TENS = range(0, 10_000, 10)


def errors_in(errors: dict[int, BaseException], start: int) -> dict[int, BaseException]:
    return {index - start: error for index, error in errors.items() if start <= index < start + 10}


class Thing:
    """It can be referred to weakly."""


@pytest.mark.parametrize("wake_each", [False, True])
@pytest.mark.parametrize("errors", [{}, {2: KeyError("k")}])
def test_who_may_not_read_closes_nothing(wake_each: bool, errors: dict[int, BaseException]) -> None:
    mapped = Map(wake_each=wake_each)
    mapped.inbox.deliver([Arrival(0, ["a", "b", "c"], errors)])

    def forked() -> None:
        raise LookupError

    mapped.results._reading.check_owner = forked
    for use in (next, list, MapResults.close):
        with pytest.raises(LookupError):
            use(mapped.results)
    assert not mapped.cancelled


@pytest.mark.parametrize(("wake_each", "errors"), [(True, {}), (False, {1: KeyError("k")})])
def test_who_may_not_read_on_ends_nothing(wake_each: bool, errors: dict[int, BaseException]) -> None:
    """A child that is forked in the middle of an arrival."""
    mapped = Map(wake_each=wake_each)
    mapped.inbox.deliver([Arrival(0, ["a", "b", "c"], errors)])
    next(mapped.results)
    told = list(mapped.consumed)

    def forked() -> None:
        raise LookupError("forked")

    mapped.results._reading.check_owner = forked
    with pytest.raises(LookupError, match="forked"):
        next(mapped.results)
    assert (mapped.cancelled, mapped.consumed) == (0, told)


@pytest.mark.parametrize("wake_each", [False, True])
@pytest.mark.parametrize("errors", [{}, {2: KeyError("k")}])
def test_what_was_read_is_held_no_more(wake_each: bool, errors: dict[int, BaseException]) -> None:
    mapped = Map(wake_each=wake_each)
    arrival = Arrival(0, [Thing(), Thing(), Thing()], errors)  # held by whoever delivered it
    mapped.inbox.deliver([arrival])
    for _ in range(2):
        thing = next(mapped.results)
        gone = weakref.ref(thing)
        del thing
        assert gone() is None


def test_reading_goes_on_wherever_it_was_left() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a", "b", "c"]), Arrival(3, ["d", "e", "f"])])
    mapped.inbox.finish()
    for value in mapped.results:
        assert value == "a"
        break
    assert next(mapped.results) == "b"
    assert list(islice(mapped.results, 2)) == ["c", "d"]
    assert list(mapped.results) == ["e", "f"]


def test_two_iterators_of_one_take_turns() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, [1, 2, 3]), Arrival(3, [4, 5, 6])])
    mapped.inbox.finish()
    assert list(zip(mapped.results, mapped.results, strict=True)) == [(1, 2), (3, 4), (5, 6)]


def test_one_that_is_iterated_and_forgotten_cancels_once_that_is() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a", "b"])])
    reading = iter(mapped.results)
    del mapped.results
    assert next(reading) == "a"
    assert not mapped.cancelled
    del reading
    assert mapped.cancelled


def test_a_loop_that_meets_an_error_has_cancelled_the_rest() -> None:
    mapped = Map()
    mapped.inbox.deliver([Arrival(0, ["a", None, "c"], {1: KeyError("k")})])
    with pytest.raises(KeyError):
        list(mapped.results)
    assert mapped.cancelled
    assert list(mapped.results) == []
