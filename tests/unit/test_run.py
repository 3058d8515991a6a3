"""`ChunkRun`: each position is reported, given away or cancelled: exactly one of them, whatever happens."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import ConnectionFailed, ItemTimeout, NotPicklable, NotUnpicklable, RemoteTraceback, WorkerCrashed
from manycore.protocol import packing
from manycore.protocol.failure import dump_error, load_error
from manycore.protocol.message import CallForm, Chunk, ItemOptions
from manycore.worker.blackbox import BlackBox
from manycore.worker.child.items import Items
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report
from manycore.worker.child.turn import Call, Doomed, NotBegun, Postponed, Struck, Turn, bind, described


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlackBox]:
    opened = BlackBox(tmp_path_factory.mktemp("box"))
    opened.begin(chunk_of(0, 9))
    yield opened
    opened.trace.close()


def chunk_of(start: int, stop: int, *, retries: int = 0, attempt: int = 1, timeout: float | None = None) -> Chunk:
    options = ItemOptions(retries=retries, timeout=timeout)
    return Chunk("b.c", "b", "task", None, options, 100, start, stop, None, b"", attempt=attempt)


def run_of(box: BlackBox, size: int, *, start: int = 0, **options: Any) -> ChunkRun:
    chunk = chunk_of(start, start + size, **options)
    return ChunkRun(chunk, range(start, start + size), box)


def turn_of(run: ChunkRun, call: Call, *, pickled: bool = False) -> Turn:
    return Turn(run, call, where="here", pickled=pickled, max_memory=None)


def guarded(run: ChunkRun, call: Call) -> Turn:
    turn = turn_of(run, call)
    turn.guard(run.careful_until)
    return turn


class Courier:
    """Does what the courier does, when it is told to; keeps what it took."""

    def __init__(self, run: ChunkRun) -> None:
        self.run = run
        self.reports: list[Report] = []
        self.parts: list[Chunk] = []

    def do(self, step: int | str) -> None:
        if step == "cancel":
            self.run.cancel(b"1")
        elif step == "report":
            report = self.run.tally.take_report()
            self.reports += [report] if report else []
        elif step == "try to give":
            if self.run.items.give(2):
                self.run.items.keep()
        else:
            part = self.run.items.give(int(step))
            self.parts += [part] if part else []

    @property
    def given(self) -> list[int]:
        return [position for part in self.parts for position in range(part.start, part.stop)]

    @property
    def reported(self) -> list[int]:
        return [position for r in self.reports for position in range(r.start, r.start + len(r.values))]


steps = st.lists(st.sampled_from(["report", "cancel", "try to give"]) | st.integers(0, 4), max_size=3)
scripts = st.dictionaries(st.integers(-1, 15), steps)


def play(run: ChunkRun, script: dict[int, list[Any]], failing: frozenset[int] = frozenset()) -> Courier:
    """Run the chunk; `script` says what the courier does before it (-1) and while each item runs."""
    courier = Courier(run)

    def call(item: int) -> int:
        for step in script.get(item - run.chunk.start, []):
            courier.do(step)
        if item in failing:
            raise ValueError(item)
        return item * item

    for step in script.get(-1, []):
        courier.do(step)
    run.execute(call)
    courier.do("report")
    return courier


@given(scripts, st.integers(0, 5), st.integers(0, 12))
def test_each_position_has_one_fate(box: BlackBox, script: dict[int, list[Any]], start: int, size: int) -> None:
    run = run_of(box, size, start=start)
    courier = play(run, script)
    left = list(range(run.tally.reported, run.stop))
    assert courier.reported + left + sorted(courier.given) == list(range(start, start + size))
    assert not left or run.cancelled
    assert run.tally.take_report() is None


@given(scripts, st.frozensets(st.integers(0, 12)), st.integers(1, 3))
def test_values_errors_and_retries_are_at_their_positions(
    box: BlackBox, script: dict[int, list[Any]], failing: frozenset[int], attempt: int
) -> None:
    run = run_of(box, 12, retries=1, attempt=attempt)
    for report in play(run, script, failing).reports:
        ran = range(report.start, report.start + len(report.values))
        failed = [position for position in ran if position in failing]
        assert report.values == [None if position in failing else position**2 for position in ran]
        assert len(report.seconds) == len(ran)
        assert (report.retry, sorted(report.errors)) == ((failed, []) if attempt == 1 else ([], failed))
        assert [load_error(report.errors[position]).args for position in report.errors] == [(p,) for p in report.errors]


@given(scripts, st.frozensets(st.integers(0, 12)))
def test_the_summary_counts_every_position(
    box: BlackBox, script: dict[int, list[Any]], failing: frozenset[int]
) -> None:
    run = run_of(box, 12)
    play(run, script, failing)
    counts = [int(part.split()[0]) for part in run.summary().split(", ")]
    assert sum(counts) == 12
    assert run.tally.done == run.tally.ok + run.tally.failed


@pytest.mark.parametrize(
    ("script", "failing", "retries", "text"),
    [
        ({}, {}, 0, "5 ok"),
        ({}, {1, 2}, 0, "3 ok, 2 failed"),
        ({}, {1}, 1, "4 ok, 1 to retry"),
        ({0: [2]}, {}, 0, "3 ok, 2 given away"),
        ({1: ["cancel"]}, {}, 0, "2 ok, 3 cancelled"),
        ({0: [1], 2: ["cancel"]}, {0}, 0, "2 ok, 1 failed, 1 given away, 1 cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_flower_shows(
    box: BlackBox, script: dict[int, list[Any]], failing: set[int], retries: int, text: str
) -> None:
    run = run_of(box, 5, retries=retries)
    play(run, script, frozenset(failing))
    assert run.summary() == text


def test_the_item_that_runs_is_noted_and_stays(box: BlackBox) -> None:
    noted: list[int] = []
    run = run_of(box, 3, start=4)

    def call(_item: int) -> None:
        noted.append(box.note[0])
        run.items.give(9)

    run.execute(call)
    assert noted == [4]
    assert run.items.given == 2


def test_a_part_is_a_message_of_its_own(box: BlackBox) -> None:
    run = run_of(box, 10)
    part = run.items.give(4)
    assert part is not None
    assert (part.start, part.stop, part.batch, part.first) == (6, 10, "b", 100)
    assert part.id != run.chunk.id


def test_items_that_come_back_after_the_last_one_ran_are_run(box: BlackBox) -> None:
    run = run_of(box, 3, start=4)
    assert run.items.give(2)
    run.execute(lambda item: item)
    run.items.keep()
    run.execute(lambda item: item)
    report = run.tally.take_report()
    assert report is not None
    assert (report.start, report.values, run.stop) == (4, [4, 5, 6], 7)


def test_nothing_is_given_after_cancelling(box: BlackBox) -> None:
    run = run_of(box, 10)
    run.cancel(b"1")
    assert run.items.give(4) is None


def test_no_position_is_lost_between_two_threads(box: BlackBox) -> None:
    size = 20_000
    run = run_of(box, size)
    courier, done = Courier(run), threading.Event()

    def carry() -> None:
        while not done.is_set():
            for _ in range(20):  # mostly reports: parts would leave too few items to run
                courier.do("report")
            courier.do(1)

    def call(item: int) -> int:
        if item % 5 == 0:
            raise doomed.with_traceback(None)
        return item

    doomed = Doomed(b"its outcome")
    thread = threading.Thread(target=carry)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        run.execute(call)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    courier.do("report")
    assert courier.reported + sorted(courier.given) == list(range(size))
    for report in courier.reports:
        ran = range(report.start, report.start + len(report.values))
        assert report.values == [None if position % 5 == 0 else position for position in ran]
        assert list(report.errors) == [position for position in ran if position % 5 == 0]


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


def test_a_struck_item_is_claimed_before_it_runs_and_let_go_after_it(box: BlackBox) -> None:
    run, steps = run_of(box, 1), []
    run.items = Items(run.chunk, [Struck(7, lambda: steps.append("claim"), lambda: steps.append("end"))])
    run.execute(guarded(run, steps.append))
    assert steps == ["claim", 7, "end"]


def test_a_postponed_item_comes_again_whatever_its_retries(box: BlackBox) -> None:
    def claim() -> None:
        raise Postponed

    run = run_of(box, 3, start=4, retries=0)
    run.items = Items(run.chunk, [4, Struck(5, claim, pytest.fail), 6])
    run.execute(guarded(run, lambda item: item))
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


def test_an_item_that_cannot_be_noted_does_not_begin(box: BlackBox) -> None:
    def note(_position: int | None) -> None:
        raise ConnectionFailed("redis://h", "away")

    run = run_of(box, 3)
    run.announce, run.careful_until = note, float("inf")
    with pytest.raises(NotBegun):
        run.execute(guarded(run, pytest.fail))
    assert run.tally.take_report() is None


def test_the_guard_lets_other_items_pass(box: BlackBox) -> None:
    assert guarded(run_of(box, 1), abs)(-3) == 3


def test_careful_mode_notes_each_item_before_it_runs(box: BlackBox) -> None:
    run, noted = run_of(box, 3), list[tuple[int | None, list[Any]]]()

    def note(position: int | None) -> None:
        report = run.tally.take_report()
        noted.append((position, report.values if report else []))

    run.announce, run.careful_until = note, float("inf")
    values = list(range(3))
    run.execute(guarded(run, lambda item: item))
    assert noted == [(0, []), (None, []), (1, values[:1]), (None, []), (2, values[1:2]), (None, [])]


def test_what_careful_mode_noted_is_the_suspect_until_it_is_done(box: BlackBox) -> None:
    """The courier writes between two notes as well: that must not clear a suspect that still runs."""
    run = run_of(box, 3)
    seen: list[int | None] = []

    def look() -> None:
        run.tally.take_report()
        seen.append(run.suspect)

    def note(position: int | None) -> None:
        run.noted = position
        look()

    def item(value: int) -> int:
        look()
        return value

    run.announce, run.careful_until = note, float("inf")
    run.execute(guarded(run, item))
    look()
    assert seen == [0, 0, None, 1, 1, None, 2, 2, None, None]


def test_careful_mode_ends(box: BlackBox) -> None:
    run = run_of(box, 3)
    run.announce = lambda position: pytest.fail("noted after careful mode")
    run.execute(guarded(run, lambda item: item))
    assert run.tally.done == 3


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
