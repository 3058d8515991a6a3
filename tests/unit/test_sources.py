"""Sources give each item of their input once, in order, and no sooner than they may."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.client.pulled import PulledSource
from manycore.client.sources import MIN_SUBMIT_ITEMS, ReadySource, SubmitSource
from manycore.errors import BatchCancelled, UnknownTask
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program

PROGRAM, OPTIONS, SLOTS = Program("task", "cpu"), ItemOptions(), 2
PATIENCE = 20.0
"""Seconds after which something that should have happened counts as failed."""


def ready_source(items: Any, **options: Any) -> ReadySource:
    return ReadySource(iter(items), len(items), PROGRAM, OPTIONS, **options)


def taken(source: ReadySource | PulledSource, size: int | None = None) -> list[Any]:
    program, options, items = source.take(size or source.next_size(SLOTS, None, 0))
    assert (program, options) == (PROGRAM, OPTIONS)
    return list(items)


def drained(source: ReadySource) -> list[Any]:
    found = []
    while source.ready():
        found.append(taken(source))
    return found


@given(st.integers(0, 300), st.none() | st.integers(1, 50))
def test_an_input_in_memory_is_cut_completely(total: int, chunksize: int | None) -> None:
    source = ready_source(range(total), chunksize=chunksize)
    cuts = drained(source)
    assert [item for cut in cuts for item in cut] == list(range(total))
    assert all(cuts)
    assert source.exhausted()
    assert source.total == total


def test_a_given_chunksize_is_kept() -> None:
    assert [len(cut) for cut in drained(ready_source(range(25), chunksize=10))] == [10, 10, 5]


def test_an_input_in_memory_waits_for_its_reader() -> None:
    consumed = 0
    source = ready_source(range(10), chunksize=4, limit=lambda: consumed + 3)
    assert taken(source) == [0, 1, 2]
    assert not source.ready()
    consumed = 2
    assert taken(source) == [3, 4]
    assert not source.ready()
    assert not source.exhausted()


def test_a_closed_source_gives_no_more() -> None:
    source = ready_source(range(10))
    source.give_back(BatchCancelled("b"))
    assert taken(source) == []
    assert source.exhausted()


class Pulling:
    """A `PulledSource` with what the tests see of it: what it pulled, and whether its thread has ended."""

    def __init__(self, items: Iterable[Any], **options: Any) -> None:
        self.pulled: list[Any] = []
        self.changed = threading.Condition()
        self.source = PulledSource(self._watch(items), PROGRAM, OPTIONS, wake=self._wake, **options)
        self._before = set(threading.enumerate())
        self.source.start()

    def _watch(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.pulled.append(item)
            yield item

    def _wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def wait(self, happened: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(happened, PATIENCE)

    def join(self) -> None:
        """Wait for the pulling thread, which `close` or the end of the input ends."""
        for thread in set(threading.enumerate()) - self._before:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def take_all(self) -> list[Any]:
        found: list[Any] = []
        while True:
            self.wait(lambda: self.source.ready() or self.source.exhausted())
            if not self.source.ready():
                return found
            found += taken(self.source, self.source.next_size(SLOTS, 1e-6, 0))


@pytest.mark.parametrize("total", [0, 1, 2, 1000])
def test_a_lazy_input_is_pulled_completely(total: int) -> None:
    pulling = Pulling(range(total))
    assert pulling.take_all() == list(range(total))
    assert pulling.source.error is None
    pulling.join()


def test_a_lazy_input_is_pulled_one_chunk_ahead() -> None:
    pulling = Pulling(count(), chunksize=10)
    pulling.source.next_size(SLOTS, None, 0)
    pulling.source.more_room()
    pulling.wait(lambda: len(pulling.pulled) >= 10)
    pulling.source.give_back(BatchCancelled("b"))
    pulling.join()
    assert len(pulling.pulled) == 10


def test_a_lazy_input_starts_with_one_item() -> None:
    pulling = Pulling(count())
    pulling.wait(pulling.source.ready)
    pulling.source.give_back(BatchCancelled("b"))
    pulling.join()
    assert pulling.pulled == [0]


def test_a_lazy_input_is_not_pulled_beyond_its_limit_whatever_was_taken() -> None:
    pulling = Pulling(count(), chunksize=4, limit=lambda: 6)
    found: list[int] = []
    while len(found) < 6:
        pulling.wait(pulling.source.ready)
        found += taken(pulling.source)
    pulling.source.more_room()
    pulling.source.give_back(BatchCancelled("b"))
    pulling.join()
    assert pulling.pulled == list(range(6))


def test_a_lazy_input_goes_on_when_its_reader_has_read() -> None:
    consumed = 0
    pulling = Pulling(range(5), limit=lambda: consumed + 1)
    found: list[int] = []
    for _ in range(5):
        pulling.wait(pulling.source.ready)
        found += taken(pulling.source)
        consumed += 1
        pulling.source.more_room()
    assert found == list(range(5))
    pulling.join()


def test_a_limit_that_shrinks_between_two_looks_loses_nothing() -> None:
    """As it does when the reader's thread is slower than the one that sends."""
    looks = count()
    pulling = Pulling(range(20), chunksize=9, limit=lambda: 1000 if next(looks) % 2 == 0 else -1)
    pulling.source.next_size(SLOTS, None, 0)
    found: list[int] = []
    while not pulling.source.exhausted():
        pulling.source.more_room()  # again and again: every other look finds no room
        if pulling.source.ready():
            found += taken(pulling.source)
    assert found == list(range(20))


def failing(*items: int) -> Iterator[int]:
    yield from items
    raise LookupError("the input is broken")


@pytest.mark.parametrize("items", [(), (1, 2, 3)])
def test_an_inputs_error_is_kept_and_ends_it(items: tuple[int, ...]) -> None:
    pulling = Pulling(failing(*items))
    assert pulling.take_all() == list(items)
    assert isinstance(pulling.source.error, LookupError)
    pulling.join()


def test_closing_ends_the_thread_and_empties_the_source() -> None:
    pulling = Pulling(count())
    pulling.wait(pulling.source.ready)
    pulling.source.give_back(BatchCancelled("b"))
    pulling.join()
    assert pulling.source.exhausted()
    assert pulling.source.error is None


def first(value: Any) -> Any:
    return value


def second(value: Any) -> Any:
    return value


def named(function: Any) -> Program:
    if function == "unknown":
        raise UnknownTask("unknown", "")
    return Program(function if isinstance(function, str) else function.__name__, "cpu")


def test_waiting_calls_of_one_function_leave_together() -> None:
    source = SubmitSource(named)
    for function, value in [(first, 1), (first, 2), (second, 3), (first, 4)]:
        source.add(function, (value,), {})
    cuts = []
    while source.ready():
        cut = source.take(100)
        assert cut is not None
        cuts.append((cut[0].task, list(cut[2])))
    assert cuts == [("first", [(1,), (2,)]), ("second", [(3,)]), ("first", [(4,)])]


def test_no_more_calls_are_taken_than_asked_for() -> None:
    source = SubmitSource(named)
    for value in range(5):
        source.add(first, (value,), {})
    cut = source.take(3)
    assert cut is not None
    assert [item[0] for item in cut[2]] == [0, 1, 2]
    assert source.ready()


@pytest.mark.parametrize("calls", [1, MIN_SUBMIT_ITEMS, 100_000])
def test_few_calls_are_one_chunk(calls: int) -> None:
    source = SubmitSource(named)
    for value in range(min(calls, 1000)):
        source.add(first, (value,), {})
    assert source.next_size(SLOTS, None, 0) >= MIN_SUBMIT_ITEMS


def test_a_cancelled_call_does_not_leave() -> None:
    source = SubmitSource(named)
    futures = [source.add(first, (value,), {}) for value in range(3)]
    assert futures[1].cancel()
    cut = source.take(9)
    assert cut is not None
    assert list(cut[2]) == [(0,), (2,)]
    assert source.futures == {0: futures[0], 1: futures[2]}


def test_a_call_that_left_cannot_be_cancelled() -> None:
    source = SubmitSource(named)
    future = source.add(first, (), {})
    source.take(9)
    assert not future.cancel()


def test_calls_that_were_all_cancelled_make_an_empty_cut() -> None:
    source = SubmitSource(named)
    source.add(first, (), {}).cancel()
    cut = source.take(9)
    assert cut is None or not cut[2]
    assert not source.ready()


def test_a_function_that_cannot_be_sent_is_the_result_of_its_calls() -> None:
    source = SubmitSource(named)
    bad = [source.add("unknown", (value,), {}) for value in range(2)]
    good = source.add(first, (1,), {})
    assert source.take(9) is None
    assert [type(future.exception(0)) for future in bad] == [UnknownTask, UnknownTask]
    cut = source.take(9)
    assert cut is not None
    assert source.futures == {0: good}


@pytest.mark.parametrize(("kwargs", "form", "item"), [({}, "star", (1, 2)), ({"key": 3}, "call", ((1, 2), {"key": 3}))])
def test_arguments_travel_in_the_smallest_form(kwargs: dict[str, Any], form: str, item: Any) -> None:
    source = SubmitSource(named)
    source.add(first, (1, 2), kwargs)
    cut = source.take(9)
    assert cut is not None
    assert (cut[1].form, list(cut[2])) == (form, [item])


def test_cancelling_all_reaches_what_was_not_taken() -> None:
    source = SubmitSource(named)
    out, waiting = source.add(first, (), {}), source.add(first, (), {})
    source.take(1)
    source.give_back(BatchCancelled("b"))
    assert (out.cancelled(), waiting.cancelled()) == (False, True)


def test_submit_ends_when_it_is_closed_and_its_calls_have_left() -> None:
    source = SubmitSource(named)
    source.add(first, (), {})
    assert not source.exhausted()
    source.close()
    assert not source.exhausted()
    source.take(1)
    assert source.exhausted()
