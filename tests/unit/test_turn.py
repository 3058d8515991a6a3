"""`Turn`: each item is rebuilt, run and pickled in its own turn; whatever it raises is its outcome."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from manycore.errors import ConnectionFailed, ItemTimeout, NotPicklable, NotUnpicklable, RemoteTraceback, WorkerCrashed
from manycore.protocol import packing
from manycore.protocol.failure import dump_error, load_error
from manycore.protocol.message import CallForm
from manycore.worker.blackbox import BlackBox
from manycore.worker.child import turn
from manycore.worker.child.items import Items
from manycore.worker.child.suspects import alone
from manycore.worker.child.turn import Doomed, NotBegun, Postponed, bind, described
from tests.runs import guarded, run_of, turn_of


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, IndexError])
def test_whatever_an_item_raises_is_its_outcome(box: BlackBox, error: type[BaseException]) -> None:
    run = run_of(box, 2)

    def call(item: int) -> int:
        if item == 0:
            raise error
        return item

    run.execute(call)
    report = run.tally.take_report()
    assert report is not None
    assert report.values == [None, 1]
    assert type(load_error(report.errors[0])) is error


def never(position: int) -> None:
    pytest.fail(f"at {position}")


def test_a_struck_item_is_claimed_before_it_runs_and_let_go_after_it(box: BlackBox) -> None:
    run, steps = run_of(box, 3), list[Any]()
    run.claim, run.settle = lambda at: steps.append(f"claim {at}"), lambda at: steps.append(f"settle {at}")
    run.execute(guarded(run, steps.append, struck=[1]))
    assert steps == [0, "claim 1", 1, "settle 1", 2]


def test_a_postponed_item_comes_again_whatever_its_retries(box: BlackBox) -> None:
    def claim(_position: int) -> None:
        raise Postponed

    run = run_of(box, 3, start=4, retries=0)
    run.claim, run.settle = claim, never
    run.execute(guarded(run, lambda item: item, struck=[5]))
    report = run.tally.take_report()
    assert report is not None
    assert (report.retry, report.errors, run.tally.postponed) == ([5], {}, {5})
    assert (report.values[0], report.values[2]) == (4, 6)


def test_a_doomed_item_keeps_its_verdict_and_is_not_retried(box: BlackBox) -> None:
    run = run_of(box, 1, retries=5)
    run.items = Items(run.chunk, [Doomed(dump_error(WorkerCrashed(3, "signal 9 (SIGKILL)"), ""))])
    run.execute(guarded(run, pytest.fail))
    report = run.tally.take_report()
    assert report is not None
    assert not report.retry
    assert type(load_error(report.errors[0])) is WorkerCrashed


def test_an_item_is_rebuilt_in_its_own_turn(box: BlackBox) -> None:
    run = run_of(box, 3)
    blobs = packing.opened(packing.pack([[1], [2], [3]])).values
    run.items = Items(run.chunk, [blobs[0], b"no pickle", blobs[2]])
    run.execute(turn_of(run, len, pickled=True))
    report = run.tally.take_report()
    assert report is not None
    assert (report.values[0], report.values[2]) == (1, 1)
    error = load_error(report.errors[1])
    assert type(error) is NotUnpicklable
    assert str(error).startswith("The argument cannot be rebuilt by here: UnpicklingError")


def test_a_result_is_pickled_as_it_is_when_its_item_ends(box: BlackBox) -> None:
    shared: list[int] = []

    def call(item: int) -> list[int]:
        shared.append(item)
        return shared

    run = run_of(box, 3)
    run.execute(call)
    report = run.tally.take_report()
    assert report is not None
    assert packing.unpack(packing.pack_runs(report.values, "", max_bytes=999, max_item_bytes=999)[0][0].body) == [
        [0],
        [0, 1],
        [0, 1, 2],
    ]


def test_a_result_that_cannot_be_pickled_is_its_items_own_error(box: BlackBox) -> None:
    run = run_of(box, 3)
    run.execute(lambda item: threading.Lock() if item == 1 else [item])
    report = run.tally.take_report()
    assert report is not None
    assert list(report.errors) == [1]
    assert type(load_error(report.errors[1])) is NotPicklable


def test_an_item_that_cannot_be_claimed_does_not_begin(box: BlackBox) -> None:
    """A server that is away is no outcome of an item that never ran."""

    def claim(_position: int) -> None:
        raise ConnectionFailed("redis://h", "away")

    run = run_of(box, 3)
    run.claim, run.careful = claim, 3
    with pytest.raises(NotBegun):
        run.execute(guarded(run, pytest.fail))
    assert run.tally.take_report() is None


@pytest.mark.parametrize("timeout", [None, 100.0])
def test_an_argument_that_cannot_be_fetched_is_no_outcome(
    box: BlackBox, timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionFailed("redis://h", "away")

    monkeypatch.setattr(turn, "rebuilt", away)
    run = run_of(box, 1, timeout=timeout)
    with pytest.raises(NotBegun):
        run.execute(turn_of(run, pytest.fail, pickled=True))
    assert run.tally.take_report() is None


def test_the_guard_lets_other_items_pass(box: BlackBox) -> None:
    assert guarded(run_of(box, 1), abs)(-3) == 3


def test_each_item_that_may_have_died_unseen_is_claimed_and_no_other(box: BlackBox) -> None:
    run, steps = run_of(box, 4), list[Any]()
    run.claim, run.settle = lambda at: steps.append(f"claim {at}"), lambda at: steps.append(f"settle {at}")
    run.careful = 2
    run.execute(turn_of(run, steps.append).shortest())
    assert steps == ["claim 0", 0, "settle 0", "claim 1", 1, "settle 1", 2, 3]


def test_on_threads_a_suspect_that_cannot_run_alone_comes_again_later(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it to run beside another, a death would be blamed on both."""
    monkeypatch.setattr("manycore.worker.child.turn.alone", partial(alone, wait_seconds=0.0))
    run = run_of(box, 1)
    run.claim, run.careful = never, 1
    with alone(box.folder):
        thread = threading.Thread(target=lambda: run.execute(turn_of(run, pytest.fail).shortest()))
        thread.start()
        thread.join()
    assert run.tally.postponed == {0}


def test_in_a_process_of_its_own_it_runs_all_the_same(box: BlackBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manycore.worker.child.turn.alone", partial(alone, wait_seconds=0.0))
    run, claimed = run_of(box, 1), list[int]()
    run.claim, run.careful = claimed.append, 1
    with alone(box.folder):
        run.execute(turn_of(run, lambda item: item).shortest())
    assert (claimed, run.tally.done, run.tally.postponed) == ([0], 1, set())


def test_a_report_that_could_not_be_written_comes_again(box: BlackBox) -> None:
    run = run_of(box, 3)
    run.execute(lambda item: 1 // 0 if run.box.note[0] == 1 else item)
    first = run.tally.take_report()
    assert first is not None
    run.tally.put_back(first)
    assert (run.tally.ok, run.tally.failed) == (0, 0)
    assert run.tally.take_report() == first
    assert (run.tally.ok, run.tally.failed) == (2, 1)


forms: list[tuple[CallForm, dict[str, Any], Any, Any]] = [
    ("item", {}, "1", ("1", None)),
    ("item", {"second": 2}, "1", ("1", 2)),
    ("star", {}, ("1", 2), ("1", 2)),
    ("star", {"second": 2}, ("1",), ("1", 2)),
    ("call", {}, (("1",), {"second": 2}), ("1", 2)),
    ("call", {"second": 2}, (("1",), {}), ("1", 2)),
]


@pytest.mark.parametrize(("form", "kwargs", "item", "got"), forms)
def test_an_item_becomes_a_call(form: CallForm, kwargs: dict[str, Any], item: Any, got: Any) -> None:
    def function(first: str, second: int | None = None) -> Any:
        return first, second

    assert bind(function, kwargs, form)(item) == got


def test_a_plain_function_is_called_without_a_wrapper() -> None:
    assert bind(abs, {}, "item") is abs


def test_a_limited_call_is_interrupted(box: BlackBox) -> None:
    def spin(_item: object) -> None:
        while True:
            pass

    with pytest.raises(ItemTimeout):
        turn_of(run_of(box, 1, timeout=0.05), spin)(None)


def test_the_traceback_begins_in_the_users_code(box: BlackBox) -> None:
    run = run_of(box, 1, timeout=60)

    def of_the_user(_item: int) -> None:
        raise LookupError("wrong")

    run.execute(turn_of(run, bind(of_the_user, {}, "item")))
    report = run.tally.take_report()
    assert report is not None
    cause = load_error(report.errors[0]).__cause__
    assert isinstance(cause, RemoteTraceback)
    assert "in of_the_user" in cause.text
    assert "manycore/worker" not in cause.text


def test_our_own_errors_need_no_traceback() -> None:
    assert load_error(described(ItemTimeout(1, ""), 1000)).__cause__ is None
