"""Sources give each item of their input once, in order, and no sooner than they may."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.client.pulled import PulledSource
from manycore.client.sources import ReadySource
from manycore.errors import BatchCancelled
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program

PROGRAM, OPTIONS, SLOTS = Program("task", "cpu"), ItemOptions(), 2
PATIENCE = 20.0
"""Seconds after which something that should have happened counts as failed."""


def ready_source(items: Any, **options: Any) -> ReadySource:
    return ReadySource(items, len(items), PROGRAM, OPTIONS, **options)


def taken(source: ReadySource | PulledSource, size: int | None = None) -> list[Any]:
    program, options, items = source.take(size or source.next_size(SLOTS, None, 0))
    assert (program, options) == (PROGRAM, OPTIONS)
    return list(items)


def drained(source: ReadySource) -> list[Any]:
    found = []
    while source.ready():
        found.append(taken(source))
    return found


@given(st.integers(0, 300), st.none() | st.integers(1, 50), st.sampled_from([range, list, tuple, deque]))
def test_an_input_in_memory_is_cut_completely(total: int, chunksize: int | None, kind: Callable[[Any], Any]) -> None:
    source = ready_source(range(total) if kind is range else kind(range(total)), chunksize=chunksize)
    cuts = drained(source)
    assert [item for cut in cuts for item in cut] == list(range(total))
    assert all(cuts)
    assert source.exhausted()
    assert source.total == total


@pytest.mark.parametrize("kind", [list, deque])
def test_an_input_that_was_taken_is_not_held(kind: Callable[[Any], Any]) -> None:
    items = [threading.Event() for _ in range(10)]
    source, held = ready_source(kind(items), chunksize=4), weakref.ref(items[0])
    items.clear()
    drained(source)
    assert held() is None
    assert source.exhausted()


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


def test_what_is_pulled_after_the_end_does_not_open_it_again() -> None:
    """Nobody takes that item: who waits for the end of the batch waited for ever."""
    inside, gate = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        inside.set()
        gate.wait(PATIENCE)
        yield 1

    pulling = Pulling(slow())
    pulling.wait(pulling.source.ready)
    assert taken(pulling.source) == [0]
    assert inside.wait(PATIENCE)
    pulling.source.cut_off(BatchCancelled("b"))
    gate.set()
    pulling.join()
    assert pulling.pulled == [0, 1]
    assert pulling.source.exhausted()
    assert not pulling.source.ready()


def test_an_input_that_is_closed_while_it_is_taken_from_gives_what_was_there() -> None:
    """As by a `halt`, in the thread that reads: the one that sends raised "pop from an empty deque" for the batch."""

    class Closing(deque[int]):
        def popleft(self) -> int:
            pulling.source.give_back(BatchCancelled("b"))
            return super().popleft()

    pulling = Pulling(range(3))
    pulling.wait(pulling.source.ready)
    pulling.source._buffer = Closing([0, 1, 2])
    assert taken(pulling.source, 3) == [0, 1, 2]
    assert pulling.source.exhausted()
    pulling.join()


def test_a_source_that_ends_while_it_is_cut_has_nothing_left() -> None:
    """Whoever shuts down ends it in another thread than the one that takes."""

    class Ending:
        def __init__(self) -> None:
            self.left = iter(range(4))

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            source.cut_off(BatchCancelled("b"))
            return next(self.left)

    source = ReadySource(Ending(), 4, Program("t", "cpu"), ItemOptions())
    source.take(2)
    assert source.exhausted()
    assert not source.ready()
