"""`SubmitSource`: the calls that wait, and what leaves together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from manycore.client import sources
from manycore.client.sources import MIN_SUBMIT_ITEMS, SubmitSource
from manycore.client.submits import Submits
from manycore.errors import BatchCancelled, UnknownTask
from manycore.protocol.parcel import Program


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


class Counter:
    def count(self, _: int) -> None: ...

    def __eq__(self, other: object) -> bool:
        raise AssertionError("foreign code was run")

    __hash__ = object.__hash__


def test_calls_of_one_method_leave_together() -> None:
    """Each time that it is asked for, it is another object."""
    source, one, other, listed = SubmitSource(lambda _: Program("t", "cpu")), Counter(), Counter(), [1]
    for function in [one.count, one.count, other.count, listed.append, listed.append, [1].append]:
        source.add(function, (1,), {})
    cuts = []
    while source.ready():
        cut = source.take(100)
        assert cut is not None
        cuts.append(len(cut[2]))
    assert cuts == [2, 1, 2, 1]


class Named(partial):  # type: ignore[type-arg]
    """Somebody's own kind of partial call: it may do anything when it is called."""


def test_a_partial_call_is_one_of_its_function() -> None:
    source = SubmitSource(named)
    source.add(partial(partial(cast(Any, first), 1), 2), (3,), {})
    source.add(partial(cast(Any, first), a=1, b=2), (), {"b": 3})
    cut = source.take(100)
    assert cut is not None
    assert list(cut[2]) == [((1, 2, 3), {}), ((), {"a": 1, "b": 3})]


def test_what_is_not_plainly_partial_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PLACEHOLDER", "later")
    found: list[object] = []
    source = SubmitSource(lambda function: found.append(function) or Program("t", "cpu"))  # type: ignore[func-returns-value]
    functions = [Named(first, 1), partial(cast(Any, first), "later", 2)]
    for function in functions:
        source.add(function, (), {})
        assert source.take(1) is not None
    assert found == functions


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
    assert source.next_size(2, None, 0) >= MIN_SUBMIT_ITEMS


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


class _Opener:
    """Refuses lanes, as a session does that somebody shuts down just now."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def open(self, _: object) -> None:
        self.meanwhile()
        raise RuntimeError("shut down")

    def over(self, _: object) -> None:
        """Nobody looks after it."""


def test_calls_that_came_while_their_lane_was_refused_are_told() -> None:
    opener = _Opener()
    submits = Submits(cast(Any, opener), named)
    came: list[Any] = []
    opener.meanwhile = lambda: came.append(submits.add(first, (), {}))
    with pytest.raises(RuntimeError, match="shut down"):
        submits.add(first, (), {})
    assert str(came[0].exception(timeout=0)) == "shut down"


def test_a_shutdown_finds_the_lane_that_is_just_being_opened() -> None:
    opener = _Opener()
    submits = Submits(cast(Any, opener), named)
    over: list[bool] = []

    def end() -> None:
        submits.end(cancel=False)
        over.append(submits.lane is not None and submits.lane.over)

    opener.meanwhile = end
    with pytest.raises(RuntimeError):
        submits.add(first, (), {})
    assert over == [True]
