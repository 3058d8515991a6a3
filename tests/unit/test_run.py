"""`ChunkRun`: each position is reported, given away or cancelled: exactly one of them, whatever happens."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.protocol.failure import load_error
from manycore.protocol.message import Chunk
from manycore.worker.blackbox import BlackBox
from manycore.worker.child import run as module
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report
from manycore.worker.child.turn import Doomed
from tests.runs import guarded, run_of, small_groups


@pytest.fixture(scope="module", autouse=True)
def groups() -> Iterator[None]:
    with small_groups():
        yield


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
        elif step == "hold back":
            self.run.items.release(self.run.items.hold(2))
        else:
            part = self.run.items.give(int(step))
            self.parts += [part] if part else []

    @property
    def given(self) -> list[int]:
        return [position for part in self.parts for position in range(part.start, part.stop)]

    @property
    def reported(self) -> list[int]:
        return [position for r in self.reports for position in range(r.start, r.start + len(r.values))]


steps = st.lists(st.sampled_from(["report", "cancel", "try to give", "hold back"]) | st.integers(0, 4), max_size=3)
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
    run_all(run, call)
    courier.do("report")
    return courier


def run_all(run: ChunkRun, call: Callable[[Any], Any]) -> None:
    """As the task does: items that were held back, or could not be given away, are run afterwards."""
    run.execute(call)
    while run.items:
        run.items.release(2)
        run.execute(call)


@given(scripts, st.integers(0, 5), st.integers(0, 12), st.booleans())
def test_each_position_has_one_fate(
    box: BlackBox, script: dict[int, list[Any]], start: int, size: int, of_map: bool
) -> None:
    run = run_of(box, size, start=start, of_map=of_map)
    courier = play(run, script)
    left = list(range(run.tally.reported, run.stop))
    assert courier.reported + left + sorted(courier.given) == list(range(start, start + size))
    assert not left or run.cancelled
    assert run.tally.take_report() is None


@given(scripts, st.frozensets(st.integers(0, 12)), st.integers(1, 3), st.booleans())
def test_values_errors_and_retries_are_at_their_positions(
    box: BlackBox, script: dict[int, list[Any]], failing: frozenset[int], attempt: int, of_map: bool
) -> None:
    run = run_of(box, 12, retries=1, attempt=attempt, of_map=of_map)
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


@pytest.mark.parametrize("of_map", [False, True])
def test_the_item_that_runs_is_noted_and_stays(box: BlackBox, of_map: bool) -> None:
    noted: list[int] = []
    run = run_of(box, 3, start=4, of_map=of_map)

    def call(_item: int) -> None:
        noted.append(box.note[0])
        run.items.give(9)

    run.execute(call)
    assert noted == [4]
    assert run.items.given == 2


@pytest.mark.parametrize(("of_map", "reads"), [(False, 301), (True, 2 + 1 + 1 + 100)])
def test_the_clock_is_read_for_several_short_items_of_a_map_at_once(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch, of_map: bool, reads: int
) -> None:
    """Nobody is shown what each of those took. Of a batch that is an outcome's `seconds`."""
    clock = count()
    monkeypatch.setattr(module, "perf_counter", lambda: next(clock) * 1e-9)
    run = run_of(box, 300, of_map=of_map)
    run.execute(abs)
    report = run.tally.take_report()
    assert report is not None
    assert (len(report.values), len(report.seconds)) == (300, 300)
    assert next(clock) == reads


def test_an_item_of_a_map_that_takes_long_among_short_ones_is_followed_by_such_as_are_timed_each(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def call(item: int) -> None:
        now[0] += {7: 9.0, 9: 2.0}.get(item, 0.0)

    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    run = run_of(box, 12, of_map=True)
    run.execute(call)
    assert list(run.tally.seconds) == [0, 0, 0, 0, 0, 3, 3, 3, 0, 2, 0, 0]


def test_how_long_items_of_a_map_take_is_known_though_they_are_reported_meanwhile(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long ones were taken for short where the courier had carried most of them away: then they came in groups."""
    now, run = [0.0], run_of(box, 12, of_map=True)
    courier = Courier(run)

    def call(item: int) -> None:
        now[0] += 1.0 + 0.01 * item
        courier.do("report")

    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    run.execute(call)
    courier.do("report")
    took = [seconds for report in courier.reports for seconds in report.seconds]
    assert took == pytest.approx([1.0 + 0.01 * item for item in range(12)])


def test_items_of_a_map_with_something_around_each_are_timed_each(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count()
    monkeypatch.setattr(module, "perf_counter", lambda: next(clock) * 1e-9)
    run = run_of(box, 12, of_map=True)
    run.execute(guarded(run, abs).shortest())
    assert next(clock) == 13


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
    run_all(run, lambda item: item)
    report = run.tally.take_report()
    assert report is not None
    assert (report.start, report.values, run.stop) == (4, [4, 5, 6], 7)


def test_nothing_is_given_after_cancelling(box: BlackBox) -> None:
    run = run_of(box, 10)
    run.cancel(b"1")
    assert run.items.give(4) is None


@pytest.mark.parametrize("of_map", [False, True])
def test_no_position_is_lost_between_two_threads(box: BlackBox, of_map: bool) -> None:
    size = 20_000
    run = run_of(box, size, of_map=of_map)
    courier, done = Courier(run), threading.Event()

    def carry() -> None:
        while not done.is_set():
            for _ in range(20):  # mostly reports: parts would leave too few items to run
                courier.do("report")
            courier.do("hold back")
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
        while not courier.given or run.items:
            run.execute(call)  # what is held back, the courier's next look lets go
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    run_all(run, call)
    courier.do("report")
    assert courier.reported + sorted(courier.given) == list(range(size))
    for report in courier.reports:
        ran = range(report.start, report.start + len(report.values))
        assert report.values == [None if position % 5 == 0 else position for position in ran]
        assert list(report.errors) == [position for position in ran if position % 5 == 0]
