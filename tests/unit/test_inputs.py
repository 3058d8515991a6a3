"""An input is what it was at the call: what is in memory is copied, anything else opened and pulled."""

from __future__ import annotations

import contextvars
import decimal
import itertools
import sqlite3
import threading
from array import array
from collections import Counter, OrderedDict, UserList, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import pytest

from manycore.client.inputs import Input
from manycore.client.pulled import BOUND_TO_ITS_THREAD, PulledSource
from manycore.client.sources import ReadySource
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program
from tests.waiting import wait_until

PROGRAM, OPTIONS = Program("task", "cpu"), ItemOptions()


class Pair(NamedTuple):
    one: int
    two: int


class Bag(list[int]):
    """A list with a say of its own about its length."""

    def __len__(self) -> int:
        raise RuntimeError("no idea")


class Slow(list[int]):
    """A list that may do anything when it is iterated over."""

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])


class Array:
    """Looks like NumPy's, whose rows are views."""

    ndim = 2

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    def copy(self) -> Array:
        return Array([row.copy() for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows)


Array.__module__, Array.__name__ = "numpy", "ndarray"


class Column:
    """Looks like a column of pandas."""

    def __init__(self, held: list[int]) -> None:
        self.held = held

    def __iter__(self) -> Iterator[int]:
        return iter(self.held)


class Computed(UserList[int]):
    """A list whose items are made when they are asked for."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)


Column.__module__, Column.__name__ = "pandas.core.series", "Series"


def source_of(*items: Any, **options: Any) -> ReadySource | PulledSource:
    return Input.of(*items, **options).source(PROGRAM, OPTIONS, wake=lambda: None, limit=lambda: 10**9)


def all_of(source: ReadySource | PulledSource) -> list[Any]:
    found: list[Any] = []
    source.start()
    while not source.exhausted():
        wait_until(lambda: source.ready() or source.exhausted(), "the next item is there, or the last was")
        if source.ready():
            found += source.take(source.next_size(2, 1e-6, 0))[2]
    return found


CHANGED: list[tuple[Any, Callable[[Any], Any]]] = [
    ([1, 2, 3], list.clear),
    ({1: "a", 2: "b"}, dict.clear),
    ({1, 2}, set.clear),
    (bytearray(b"ab"), lambda held: held.__setitem__(0, 0)),
    (deque([1, 2]), deque.clear),
    (array("d", [1, 2]), lambda held: held.__setitem__(0, 9.0)),
    (OrderedDict(a=1), OrderedDict.clear),
    (defaultdict(int, a=1), defaultdict.clear),
    (Counter("aab"), Counter.clear),
    (UserList([1, 2]), UserList.clear),
    (Column([1, 2]), lambda held: held.held.clear()),
]


@pytest.mark.parametrize(("items", "change"), CHANGED, ids=[type(items).__name__ for items, _ in CHANGED])
def test_what_is_in_memory_may_change_after_the_call(items: Any, change: Callable[[Any], Any]) -> None:
    expected = list(items)
    alone, beside = source_of(items), source_of(items, expected)
    change(items)
    assert all_of(alone) == expected
    assert all_of(beside) == [(item, item) for item in expected]


@pytest.mark.parametrize("view", ["keys", "values", "items"])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_so_may_what_a_view_shows(kind: type[dict[int, str]], view: str) -> None:
    held = kind({1: "a", 2: "b"})
    shown = getattr(held, view)()
    expected = list(shown)
    source = source_of(shown)
    held.clear()
    assert all_of(source) == expected


def test_so_may_a_memoryview_and_an_array_of_rows() -> None:
    buffer, rows = bytearray(b"ab"), Array([[1], [2]])
    sources = source_of(memoryview(buffer)), source_of(rows)
    buffer[0] = rows.rows[0][0] = 9
    assert [all_of(source) for source in sources] == [[97, 98], [[1], [2]]]


@pytest.mark.parametrize("items", [[1], (1,), {1: 2}, {1}, range(3), "ab", b"ba", Pair(1, 2), Array([[1]])])
def test_what_is_in_memory_needs_no_thread(items: Any) -> None:
    source = source_of(items)
    assert isinstance(source, ReadySource)
    assert all_of(source) == list(items)


def test_a_subclass_may_say_anything_of_its_length() -> None:
    assert all_of(source_of(Bag([1, 2]))) == [1, 2]


@pytest.mark.parametrize("items", [[1], (n for n in range(3)), Slow([1]), Computed([1, 2])])
def test_anything_else_is_pulled(items: Any) -> None:
    lazy = iter(items) if isinstance(items, list) and not isinstance(items, Slow) else items
    expected = [0, 1, 2] if not isinstance(items, list | UserList) else list(items)
    source = source_of(lazy)
    assert isinstance(source, PulledSource)
    assert all_of(source) == expected


def test_several_inputs_go_side_by_side_to_the_end_of_the_shortest() -> None:
    feed = Input.of([1, 2, 3], "ab")
    assert (list(feed.items), feed.length) == ([(1, "a"), (2, "b")], 2)
    assert Input.of([1, 2], iter("ab")).length is None
    assert Input.of(chunksize=1).length == 0


class NoIterator:
    def __iter__(self) -> Iterator[int]:
        raise LookupError("not today")


@pytest.mark.parametrize(("items", "error"), [(5, TypeError), (None, TypeError), (NoIterator(), LookupError)])
def test_what_cannot_be_iterated_over_is_raised_by_the_call(items: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Input.of(items)
    with pytest.raises(error):
        Input.of([1], items)


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def test_a_lazy_input_is_pulled_in_the_context_of_the_call() -> None:
    token = VARIABLE.set("set")
    with decimal.localcontext() as context:
        context.prec = 5
        source = source_of((VARIABLE.get(), str(decimal.Decimal(1) / 3)) for _ in range(2))
    VARIABLE.reset(token)
    assert all_of(source) == [("set", "0.33333")] * 2


def test_what_is_bound_to_its_thread_says_how_to_pass_it() -> None:
    with sqlite3.connect(":memory:") as connection:
        cursor = connection.execute("select 1")
        source = source_of(cursor)
        assert all_of(source) == []
        assert isinstance(source.error, sqlite3.ProgrammingError)
        assert source.error.__notes__ == [BOUND_TO_ITS_THREAD]
        assert all_of(source_of(list(cursor))) == [(1,)]
    connection.close()


class Frozen(Exception):
    """Takes no note, and does not like to be looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name == "args":
            raise SystemExit
        return super().__getattribute__(name)

    def add_note(self, _: str) -> None:
        raise TypeError("frozen")


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), Frozen(), StopIteration()])
def test_an_input_may_raise_anything(error: BaseException) -> None:
    class Raising(Iterator[int]):
        def __next__(self) -> int:
            raise error

    source = source_of(Raising())
    assert all_of(source) == []
    assert source.error is (None if isinstance(error, StopIteration) else error)


def test_an_input_that_waits_for_ever_does_not_hold_up_its_end() -> None:
    entered, held = threading.Event(), threading.Event()

    class Waiting(Iterator[int]):
        def __next__(self) -> int:
            entered.set()
            held.wait()
            raise StopIteration

    source = source_of(Waiting())
    source.start()
    entered.wait(20)
    source.give_back(KeyError())
    assert source.exhausted()
    held.set()


def test_a_generator_that_is_not_read_to_its_end_is_closed() -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    source = source_of(numbers())
    source.start()
    wait_until(source.ready, "the first item is there")
    source.give_back(KeyError())
    assert closed.wait(20)


def test_without_a_thread_to_pull_it_an_input_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    source = cast(PulledSource, source_of(iter([1])))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert all_of(source) == []
    assert "can't start new thread" in str(source.error)


def test_a_constant_beside_what_is_in_memory_needs_no_thread() -> None:
    value = object()
    for constant in (itertools.repeat(value), itertools.repeat(value, 3), itertools.repeat(value, 9)):
        feed = Input.of(constant, [1, 2, 3])
        assert feed.length == 3
        assert list(feed.items) == [(value, 1), (value, 2), (value, 3)]
    assert Input.of(itertools.repeat(value, 2)).length == 2
    assert Input.of(itertools.repeat(value)).length is None
    assert Input.of(itertools.repeat(value), iter([1])).length is None
    assert Input.of(itertools.repeat(value, 10**12)).length == 10**12  # without a list of them


def test_a_constant_that_is_passed_twice_is_used_up_twice_as_fast() -> None:
    constant = itertools.repeat(1, 10)
    feed = Input.of(constant, constant)
    assert feed.length is None
    assert list(feed.items) == [(1, 1)] * 5
