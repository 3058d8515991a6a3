"""`packing`: what goes in comes out, item by item; one that cannot travel does not take its neighbours along."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import NotPicklable, NotUnpicklable, ObjectStoreFull, PayloadTooLarge
from manycore.protocol import packing, pickling
from manycore.protocol.packing import Pickled, Run, opened, pack, pack_runs, rebuilt, unpack

atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
anything = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=6,
)
LIMIT = 80
"""Bytes of one pickled item in these tests."""


class Unpicklable:
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("no way")


class FailsToRebuild:
    def __reduce__(self) -> tuple[Any, ...]:
        return _fail, ()


def _fail() -> NoReturn:
    raise ImportError("no such module here")


awkward = anything | st.builds(Unpicklable) | st.binary(min_size=LIMIT, max_size=LIMIT * 2)


def restored(runs: list[Run]) -> dict[int, Any]:
    """Position -> value, of all runs."""
    found: dict[int, Any] = {}
    for run in runs:
        values = unpack(run.body)
        assert len(values) == run.stop - run.start
        for position, value in enumerate(values, run.start):
            assert position not in found
            found[position] = value
    return found


@given(st.lists(anything) | st.lists(atoms))
def test_packed_values_come_back(values: list[Any]) -> None:
    assert unpack(pack(values)) == values


@given(st.lists(anything), st.integers(1, 200), st.booleans())
def test_runs_cover_every_position_in_order(values: list[Any], max_bytes: int, rows: bool) -> None:
    given_values = [(value, 1) for value in values] if rows else values
    runs, errors = pack_runs(given_values, "The item", max_bytes=max_bytes, max_item_bytes=10**6, rows=rows)
    assert not errors
    assert [run.start for run in runs] == sorted(run.start for run in runs)
    assert restored(runs) == dict(enumerate(given_values))


@given(st.lists(awkward, max_size=12), st.integers(1, 200))
def test_each_position_travels_or_has_its_error(values: list[Any], max_bytes: int) -> None:
    runs, errors = pack_runs(values, "The item", max_bytes=max_bytes, max_item_bytes=LIMIT)
    found = restored(runs)
    assert sorted([*found, *errors]) == list(range(len(values)))
    assert all(found[position] == values[position] for position in found)
    for position, error in errors.items():
        wanted = NotPicklable if isinstance(values[position], Unpicklable) else PayloadTooLarge
        assert type(error) is wanted


@given(st.lists(st.binary(max_size=60), min_size=1), st.integers(1, 200))
def test_a_run_keeps_its_size_unless_one_value_is_larger(values: list[bytes], max_bytes: int) -> None:
    items = [[value] for value in values]
    for run in pack_runs(items, "", max_bytes=max_bytes, max_item_bytes=10**6)[0]:
        size = sum(len(pickling.dumps(item)) for item in items[run.start : run.stop])
        assert size <= max_bytes or run.stop - run.start == 1


@pytest.mark.parametrize("numbers", [range(0), range(5, 65_541), range(9, -9, -3), range(-(2**62), 2**62, 2**50)])
def test_a_range_travels_as_itself_and_comes_back_as_its_numbers(numbers: range) -> None:
    (run,), errors = pack_runs(numbers, "The argument", max_bytes=1_000, max_item_bytes=1_000)
    assert (run.start, run.stop, errors) == (0, len(numbers), {})
    assert len(run.body) < 80
    assert opened(run.body) == (list(numbers), False)


def test_a_range_of_huge_numbers_counts_as_what_they_take() -> None:
    numbers = range(10**300, 10**300 + 50)
    runs, errors = pack_runs(numbers, "The argument", max_bytes=1_000, max_item_bytes=1_000)
    assert not errors
    assert sum(len(run.body) for run in runs) > 50 * 100
    assert [value for run in runs for value in unpack(run.body)] == list(numbers)


def test_a_range_in_the_place_of_rows_is_none() -> None:
    (run,), _ = pack_runs(range(3), "The argument", max_bytes=1_000, max_item_bytes=1_000, rows=True)
    assert opened(run.body).separate


def test_many_plain_values_stay_one_run() -> None:
    runs, _ = pack_runs(range(30_000), "", max_bytes=512 * 1024, max_item_bytes=10**6)
    assert [(run.start, run.stop) for run in runs] == [(0, 30_000)]


@pytest.mark.parametrize("value", ["x" * 2_000, b"x" * 2_000, ["x" * 2_000]])
def test_the_limit_of_one_item_holds_whatever_its_type(value: Any) -> None:
    runs, errors = pack_runs([1, value], "The item", max_bytes=10_000, max_item_bytes=1_000)
    assert restored(runs) == {0: 1}
    assert type(errors[1]) is PayloadTooLarge


def test_large_integers_count_as_large() -> None:
    runs, _ = pack_runs([1 << 80_000] * 4, "", max_bytes=20_000, max_item_bytes=10**6)
    assert all(len(run.body) < 25_000 for run in runs)


@pytest.mark.parametrize("rows", [False, True])
def test_items_never_share_an_object(rows: bool) -> None:
    shared: list[int] = []
    values = [(shared,), (shared,)] if rows else [shared, shared]
    one, two = restored(pack_runs(values, "", max_bytes=1_000, max_item_bytes=1_000, rows=rows)[0]).values()
    (one[0] if rows else one).append(1)
    assert two == (([],) if rows else [])
    first, second = unpack(pack([shared, shared]))
    assert first is not second


def test_a_row_of_a_local_class_travels_by_value() -> None:
    Point = namedtuple("Point", "x y")
    runs, errors = pack_runs([Point(1, 2)], "", max_bytes=10**5, max_item_bytes=10**5, rows=True)
    assert not errors
    assert restored(runs) == {0: (1, 2)}


def test_a_row_that_is_no_row_does_not_take_the_batch_along() -> None:
    runs, errors = pack_runs([(1,), 5], "", max_bytes=1_000, max_item_bytes=1_000, rows=True)
    assert restored(runs) == {0: (1,), 1: 5}
    assert not errors


def test_a_row_is_not_used_up_by_looking_at_it() -> None:
    runs, _ = pack_runs([iter([1, 2])], "", max_bytes=1_000, max_item_bytes=1_000, rows=True)
    assert list(restored(runs)[0]) == [1, 2]


def test_nothing_makes_no_run() -> None:
    runs, errors = pack_runs([], "", max_bytes=10, max_item_bytes=10)
    assert (restored(runs), errors) == ({}, {})


def test_what_cannot_be_rebuilt_says_why() -> None:
    values, separate = opened(pack([1, FailsToRebuild()]))
    assert separate
    with pytest.raises(NotUnpicklable, match="The argument cannot be rebuilt by worker w: Import"):
        rebuilt(values[1], "The argument", "worker w")


@given(st.lists(atoms))
def test_plain_values_cannot_break(values: list[Any]) -> None:
    assert not packing.may_be_broken(pack(values))
    assert packing.may_be_broken(pack([[]]))


class Interrupts:
    def __reduce__(self) -> NoReturn:
        raise KeyboardInterrupt


def test_ctrl_c_is_for_the_main_thread_and_elsewhere_it_is_the_values_own() -> None:
    with pytest.raises(KeyboardInterrupt):
        pack([Interrupts()])
    with ThreadPoolExecutor(1) as thread:
        assert isinstance(thread.submit(pack, [Interrupts()]).exception(), NotPicklable)


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("value", [Unpicklable(), threading.Lock(), deep()], ids=["reduce", "lock", "deep"])
def test_what_has_no_pickled_form_is_named(value: Any) -> None:
    with pytest.raises(NotPicklable, match="The thing cannot be pickled"):
        pickling.dumps(value, "The thing")


@pytest.mark.parametrize("function", [lambda value: value + 1, partial(max, 2)])
def test_functions_travel_by_value(function: Callable[[int], int]) -> None:
    assert pickle.loads(pickling.dumps(function))(1) == 2


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("a.task", "a.task"),
        (len, "builtins.len"),
        (partial(deep), f"{__name__}.deep"),
        (Unpicklable(), f"{__name__}.Unpicklable"),
        (packing.Pickled.__init__, "manycore.protocol.packing.Pickled.__init__"),
    ],
)
def test_a_function_is_called_by_its_place(function: Callable[..., Any] | str, name: str) -> None:
    assert packing.name_of(function) == name


def test_the_size_limit_itself_is_allowed() -> None:
    pickling.check_size(10, 10, "It")
    with pytest.raises(PayloadTooLarge, match="It has 11 bytes, the limit is 10"):
        pickling.check_size(11, 10, "It")


@given(st.lists(anything, min_size=1, max_size=8), st.data())
def test_items_can_be_taken_out_alone(values: list[Any], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values) - 1))
    stop = data.draw(st.integers(start + 1, len(values)))
    assert unpack(packing.repacked(packing.opened(pack(values)), start, stop)) == values[start:stop]


def test_taking_an_item_out_rebuilds_none() -> None:
    held = packing.opened(pack([1, FailsToRebuild(), FailsToRebuild()]))
    with pytest.raises(NotUnpicklable):
        unpack(packing.repacked(held, 1, 2))
    assert unpack(packing.repacked(held, 0, 1)) == [1]


def test_a_large_array_is_an_argument_like_any_other() -> None:
    value = np.arange(50_000)
    (run,), errors = pack_runs([value], "", max_bytes=10**6, max_item_bytes=10**6)
    assert errors == {}
    (again,) = unpack(run.body)
    assert np.array_equal(again, value)
    assert again.flags.writeable


def test_what_finds_no_room_is_the_last_that_is_looked_at_and_its_error_holds_nothing() -> None:
    looked_at = []

    def pickled(value: Any) -> Pickled:
        looked_at.append(value)
        if value == [3]:
            raise ObjectStoreFull("there", 3, 2, 4)
        return Pickled(pickling.dumps(value))

    (run,), errors = pack_runs([[1], [2], [3], [4]], "", max_bytes=10**6, max_item_bytes=10**6, pickled=pickled)
    assert (run.start, run.stop, looked_at) == (0, 2, [[1], [2], [3]])
    assert list(errors) == [2]
    assert errors[2].__traceback__ is None, "through its frames it would hold the objects of the others"


def test_an_error_that_is_kept_holds_nothing_of_its_neighbours() -> None:
    """But it says where what it comes from was raised."""

    class Odd:
        def __reduce__(self) -> NoReturn:
            raise KeyError("odd")

    class Neighbour:
        def __reduce__(self) -> Any:
            return str, ()

    neighbour = Neighbour()
    left = weakref.ref(neighbour)
    values = [neighbour, Odd()]
    _, errors = pack_runs(values, "The argument", max_bytes=10**6, max_item_bytes=10**6)
    del neighbour, values
    assert left() is None
    assert 'raise KeyError("odd")' in str(errors[1].__cause__)
