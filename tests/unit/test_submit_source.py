"""`SubmitSource`: the calls that wait, and what leaves together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from manycore.client import waiting
from manycore.client.submits import Submits
from manycore.client.waiting import MIN_SUBMIT_ITEMS, SubmitSource
from manycore.errors import BatchCancelled, UnknownTask
from manycore.protocol.parcel import Program
from tests.lanes import PROGRAM, Shipping


def first(value: Any) -> Any:
    return value


def second(value: Any) -> Any:
    return value


def named(function: Any) -> Program:
    if function == "unknown":
        raise UnknownTask("unknown", "")
    return Program(function if isinstance(function, str) else function.__name__, "cpu")


def test_waiting_calls_of_one_function_leave_together() -> None:
    source = SubmitSource(Shipping(named))
    for function, value in [(first, 1), (first, 2), (second, 3), (first, 4)]:
        source.add(function, (value,), {})
    cuts = []
    while source.ready():
        cut = source.take(100)
        assert cut is not None
        cuts.append((cut[0].task, list(cut[2])))
    assert cuts == [("first", [(1,), (2,), (4,)]), ("second", [(3,)])]


def cuts_of(source: SubmitSource, most: int = 100) -> list[list[Any]]:
    found = []
    while source.ready():
        cut = source.take(most)
        found.append(list(cut[2]) if cut else [])
    return found


def bad() -> None: ...


def test_calls_of_functions_that_are_called_once_leave_together_and_bring_them_along() -> None:
    source = SubmitSource(Shipping(along=True))
    functions = [lambda n=n: n for n in range(20)]
    for n, function in enumerate(functions):
        source.add(function, (n,), {})
    assert cuts_of(source) == [[(function, n) for n, function in enumerate(functions)]]


def test_a_single_call_brings_its_function_along() -> None:
    source = SubmitSource(Shipping(along=True))
    source.add(first, (1,), {"key": 2})
    assert cuts_of(source) == [[((first, 1), {"key": 2})]]


def test_what_is_called_more_than_once_is_sent_once() -> None:
    source = SubmitSource(Shipping(along=True))
    functions = [lambda: None for _ in range(3)]
    for n, function in enumerate(functions):
        source.add(first, (n,), {})
        source.add(function, (), {})
        source.add(second, (n,), {})
    many = [(n,) for n in range(3)]
    assert cuts_of(source) == [many, [(function,) for function in functions], many]


def test_what_does_not_go_along_waits_for_its_turn() -> None:
    source = SubmitSource(Shipping(along=True))
    functions: list[Any] = [first, len, second, "task", bool, lambda: 1]
    for function in functions:
        source.add(function, (1,), {})
    assert cuts_of(source) == [[(first, 1), (second, 1), (functions[-1], 1)], [(1,)], [(1,)], [(1,)]]


def test_a_function_that_cannot_go_along_is_the_result_of_its_calls() -> None:
    source = SubmitSource(Shipping(along=True))
    futures = [source.add(function, (), {}) for function in (first, bad, second)]
    assert cuts_of(source) == [[(first,), (second,)]]
    assert source.futures == {0: futures[0], 1: futures[2]}
    assert type(futures[1].exception(0)) is KeyError


def test_calls_of_other_spans_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SubmitSource(Shipping(along=True))
    functions = [lambda: None for _ in range(4)]
    for number, function in enumerate(functions):
        monkeypatch.setattr(waiting, "carried", lambda number=number: (("traceparent", str(number % 2)),))
        source.add(function, (), {})
    assert cuts_of(source) == [[(functions[0],), (functions[2],)], [(functions[1],), (functions[3],)]]


def test_no_more_is_taken_of_many_functions_than_asked_for() -> None:
    source = SubmitSource(Shipping(along=True))
    for n in range(10):
        source.add(lambda n=n: n, (n,), {})
    assert [len(cut) for cut in cuts_of(source, 4)] == [4, 4, 2]


class Counter:
    def count(self, _: int) -> None: ...

    def __eq__(self, other: object) -> bool:
        raise AssertionError("foreign code was run")

    __hash__ = object.__hash__


def test_calls_of_one_method_leave_together() -> None:
    """Each time that it is asked for, it is another object."""
    source, one, other, listed = SubmitSource(Shipping()), Counter(), Counter(), [1]
    for function in [one.count, one.count, other.count, listed.append, listed.append, [1].append]:
        source.add(function, (1,), {})
    assert [len(cut) for cut in cuts_of(source)] == [2, 1, 2, 1]


class Named(partial):  # type: ignore[type-arg]
    """Somebody's own kind of partial call: it may do anything when it is called."""


def test_a_partial_call_is_one_of_its_function() -> None:
    source = SubmitSource(Shipping(named))
    source.add(partial(partial(cast(Any, first), 1), 2), (3,), {})
    source.add(partial(cast(Any, first), a=1, b=2), (), {"b": 3})
    cut = source.take(100)
    assert cut is not None
    assert list(cut[2]) == [((1, 2, 3), {}), ((), {"a": 1, "b": 3})]


def test_what_is_not_plainly_partial_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PLACEHOLDER", "later")
    found: list[object] = []
    source = SubmitSource(Shipping(lambda function: found.append(function) or PROGRAM))  # type: ignore[func-returns-value]
    functions = [Named(first, 1), partial(cast(Any, first), "later", 2)]
    for function in functions:
        source.add(function, (), {})
        assert source.take(1) is not None
    assert found == functions


def test_no_more_calls_are_taken_than_asked_for() -> None:
    source = SubmitSource(Shipping(named))
    for value in range(5):
        source.add(first, (value,), {})
    cut = source.take(3)
    assert cut is not None
    assert [item[0] for item in cut[2]] == [0, 1, 2]
    assert source.ready()


@pytest.mark.parametrize("calls", [1, MIN_SUBMIT_ITEMS, 100_000])
def test_few_calls_are_one_chunk(calls: int) -> None:
    source = SubmitSource(Shipping(named))
    for value in range(min(calls, 1000)):
        source.add(first, (value,), {})
    assert source.next_size(2, None, 0) >= MIN_SUBMIT_ITEMS


def test_a_cancelled_call_does_not_leave() -> None:
    source = SubmitSource(Shipping(named))
    futures = [source.add(first, (value,), {}) for value in range(3)]
    assert futures[1].cancel()
    cut = source.take(9)
    assert cut is not None
    assert list(cut[2]) == [(0,), (2,)]
    assert source.futures == {0: futures[0], 1: futures[2]}


def test_a_call_that_left_cannot_be_cancelled() -> None:
    source = SubmitSource(Shipping(named))
    future = source.add(first, (), {})
    source.take(9)
    assert not future.cancel()


def test_calls_that_were_all_cancelled_make_an_empty_cut() -> None:
    source = SubmitSource(Shipping(named))
    source.add(first, (), {}).cancel()
    cut = source.take(9)
    assert cut is None or not cut[2]
    assert not source.ready()


def test_a_function_that_cannot_be_sent_is_the_result_of_its_calls() -> None:
    source = SubmitSource(Shipping(named))
    bad = [source.add("unknown", (value,), {}) for value in range(2)]
    good = source.add(first, (1,), {})
    assert source.take(9) is None
    assert [type(future.exception(0)) for future in bad] == [UnknownTask, UnknownTask]
    cut = source.take(9)
    assert cut is not None
    assert source.futures == {0: good}


@pytest.mark.parametrize(("kwargs", "form", "item"), [({}, "star", (1, 2)), ({"key": 3}, "call", ((1, 2), {"key": 3}))])
def test_arguments_travel_in_the_smallest_form(kwargs: dict[str, Any], form: str, item: Any) -> None:
    source = SubmitSource(Shipping(named))
    source.add(first, (1, 2), kwargs)
    cut = source.take(9)
    assert cut is not None
    assert (cut[1].form, list(cut[2])) == (form, [item])


def test_cancelling_all_reaches_what_was_not_taken() -> None:
    source = SubmitSource(Shipping(named))
    out, waiting = source.add(first, (), {}), source.add(first, (), {})
    source.take(1)
    source.give_back(BatchCancelled("b"))
    assert (out.cancelled(), waiting.cancelled()) == (False, True)


def test_submit_ends_when_it_is_closed_and_its_calls_have_left() -> None:
    source = SubmitSource(Shipping(named))
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
    submits = Submits(cast(Any, opener), Shipping(named))
    came: list[Any] = []
    opener.meanwhile = lambda: came.append(submits.add(first, (), {}))
    with pytest.raises(RuntimeError, match="shut down"):
        submits.add(first, (), {})
    assert str(came[0].exception(timeout=0)) == "shut down"


def test_a_shutdown_finds_the_lane_that_is_just_being_opened() -> None:
    opener = _Opener()
    submits = Submits(cast(Any, opener), Shipping(named))
    over: list[bool] = []

    def end() -> None:
        submits.end(cancel=False)
        over.append(submits.lane is not None and submits.lane.over)

    opener.meanwhile = end
    with pytest.raises(RuntimeError):
        submits.add(first, (), {})
    assert over == [True]


def test_a_future_that_its_caller_has_answered_holds_up_no_other() -> None:
    source = SubmitSource(Shipping(named))
    answered, other = (source.add(first, (value,), {}) for value in (1, 2))
    answered.set_result("mine")
    assert cuts_of(source) == [[(2,)]]
    assert (answered.result(0), other.running()) == ("mine", True)


def test_a_future_that_its_caller_has_answered_is_no_reason_to_let_others_wait() -> None:
    source = SubmitSource(Shipping(named))
    answered, other = (source.add(first, (value,), {}) for value in (1, 2))
    answered.set_result("mine")
    source.give_back(BatchCancelled("b"))
    assert (answered.result(0), other.cancelled()) == ("mine", True)
