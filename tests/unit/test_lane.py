"""`Lane`: whatever happens on the way, each item has one outcome, and the batch ends with the last."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manycore.client import chunking
from manycore.client.halt import NEVER, Halt
from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.sinks import FutureSink
from manycore.client.sources import ReadySource, SubmitSource, Taken
from manycore.errors import BatchCancelled, BatchHalted
from manycore.protocol.message import Block, ItemOptions
from manycore.protocol.parcel import Program

PROGRAM, OPTIONS, SLOTS = Program("task", "cpu"), ItemOptions(), 2
HALTS = ["never", "now,fail=1", "soon,fail=2", "now,fail=30%", "soon,fail=10%"]


class Stream:
    """An input of unknown length, as `PulledSource` is one, without its thread."""

    total: int | None = None
    error: BaseException | None = None

    def __init__(self, items: Sequence[Any]) -> None:
        self.left = deque(items)

    def ready(self) -> bool:
        return bool(self.left)

    def exhausted(self) -> bool:
        return not self.left

    def take(self, most: int) -> Taken:
        return PROGRAM, OPTIONS, [self.left.popleft() for _ in range(min(most, len(self.left)))]

    def next_size(self, _slots: int, _seconds: float | None, _bytes: float) -> int:
        return 7

    def start(self) -> None: ...

    def more_room(self) -> None: ...

    def give_back(self, error: BaseException) -> None:
        self.left.clear()

    def cut_off(self, error: BaseException) -> None: ...


class Record:
    """A sink that keeps what it is told, and refuses to be told twice."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Any] = {}
        self.finished = 0
        self.failures: list[BaseException] = []

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        assert not self.finished
        for arrival in arrivals:
            for offset, value in enumerate(arrival.values):
                assert arrival.start + offset not in self.outcomes
                self.outcomes[arrival.start + offset] = arrival.errors.get(offset, value)

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def finish(self) -> None:
        self.finished += 1


def ready_source(total: int, chunksize: int | None = None) -> ReadySource:
    return ReadySource(iter(range(total)), total, PROGRAM, OPTIONS, chunksize=chunksize)


def block_of(indices: Sequence[int], *, cancelled: bool = False, seconds: float = 0.5) -> Block:
    durations = array("f", [] if cancelled else [seconds] * len(indices))
    return Block("b", "c", indices, 1, "host/1", durations, {}, cancelled)


def open_lane(
    total: int, sink: Any, *, chunksize: int | None = None, halt: Halt = NEVER, ordered: bool = False
) -> Lane:
    return Lane("b", ready_source(total, chunksize), sink, halt=halt, ordered=ordered)


def send(lane: Lane, name: str = "c") -> range:
    """Send the next cut as one chunk."""
    cut = lane.next_cut(SLOTS)
    assert cut is not None
    assert lane.sending(name, len(cut.items), 100, "token")
    return range(cut.first, cut.first + len(cut.items))


class LaneMachine(RuleBasedStateMachine):
    """Plays the dispatcher and the reader, in any order, against a dict of the first outcomes."""

    lane: Lane
    sink: Record

    @initialize(
        total=st.integers(0, 40),
        sized=st.booleans(),
        chunksize=st.integers(1, 12) | st.none(),
        halt=st.sampled_from(HALTS).map(Halt.parse),
    )
    def open(self, total: int, sized: bool, chunksize: int | None, halt: Halt) -> None:
        self.total, self.sized = total, sized
        self.sink = Record()
        self.lane = Lane("b", ready_source(total, chunksize) if sized else Stream(range(total)), self.sink, halt=halt)
        self.hand = deque[int]()
        self.sent: list[int] = []
        self.first: dict[int, Any] = {}
        self.stopped: type[BatchCancelled] | None = None
        self.broken: BaseException | None = None
        self.serial = count()

    @precondition(lambda self: not self.hand and self.lane.ready(SLOTS))
    @rule()
    def cut(self) -> None:
        cut = self.lane.next_cut(SLOTS)
        assert cut is not None
        assert list(cut.items) == list(range(cut.first, cut.first + len(cut.items)))
        self.hand.extend(cut.items)

    @precondition(lambda self: self.hand)
    @rule(size=st.integers(1, 6))
    def send(self, size: int) -> None:
        indices = [self.hand.popleft() for _ in range(min(size, len(self.hand)))]
        if self.lane.sending(f"c{indices[0]}", len(indices), 10, None):
            assert not self.stopped
            self.sent += indices
        else:
            assert self.stopped or self.broken
            self.hand.clear()

    @precondition(lambda self: self.hand)
    @rule()
    def refuse(self) -> None:
        error = ValueError(next(self.serial))
        index = self.hand.popleft()
        self.lane.refuse(error)
        if not self.stopped and not self.broken:
            self.sent.append(index)
            self.expect([index], [error])

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), explicit=st.booleans())
    def answer(self, data: st.DataObject, explicit: bool) -> None:
        indices: Sequence[int]
        if explicit:
            indices = data.draw(st.lists(st.sampled_from(self.sent), min_size=1))
        else:
            start = data.draw(st.sampled_from(self.sent))
            indices = range(start, data.draw(st.integers(start + 1, len(self.sent))))
        failing = data.draw(st.sets(st.integers(0, len(indices) - 1), max_size=3))
        self.arrive(indices, failing)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def answer_cancelled(self, data: st.DataObject) -> None:
        indices = data.draw(st.lists(st.sampled_from(self.sent), min_size=1))
        self.lane.arrived(block_of(indices, cancelled=True), [], {})
        self.expect(indices, [self.stopped or BatchCancelled] * len(indices))

    @precondition(lambda self: not self.stopped and not self.lane.over)
    @rule(now=st.booleans())
    def stop(self, now: bool) -> None:
        self.lane.stop(BatchCancelled("b"), give_up_sent=now)
        self.expect_stop(BatchCancelled, now=now)

    @precondition(lambda self: not self.lane.over)
    @rule()
    def fail(self) -> None:
        self.broken = ConnectionError(next(self.serial))
        self.lane.fail(self.broken)
        self.lane.fail(KeyError())
        assert self.sink.failures == [self.broken]

    @rule()
    def look(self) -> None:
        self.lane.check_finished()

    @invariant()
    def ends_with_the_last_outcome(self) -> None:
        if not hasattr(self, "lane"):
            return
        self.lane.check_finished()
        if self.broken:
            assert self.lane.state == "failed"
            return
        no_more = self.stopped or (not self.hand and self.lane.source.exhausted())
        assert self.lane.over == bool(no_more and set(self.sent) <= set(self.first))

    @invariant()
    def first_outcomes_win(self) -> None:
        if hasattr(self, "lane"):
            told = {i: type(o) if isinstance(o, BatchCancelled) else o for i, o in self.sink.outcomes.items()}
            assert told == self.first
            assert self.lane.ledger.failed == sum(isinstance(o, (BaseException, type)) for o in self.first.values())

    def teardown(self) -> None:
        if not hasattr(self, "lane"):
            return
        if self.broken:
            self.arrive(list(self.sent), set())
            self.first_outcomes_win()
            assert (self.sink.finished, self.sink.failures) == (0, [self.broken])
            return
        self.arrive(list(self.sent), set())  # a full window would keep the rest from leaving
        while self.hand or self.lane.ready(SLOTS):
            if not self.hand:
                self.cut()
            self.send(6)
            self.arrive(list(self.sent), set())
            self.ends_with_the_last_outcome()
        self.arrive(list(self.sent), set())
        self.ends_with_the_last_outcome()
        self.first_outcomes_win()
        assert self.sink.finished == 1
        assert not self.sink.failures
        assert sorted(self.first) == list(range(self.lane.total or 0))
        assert self.lane.total == (self.total if self.sized or not self.stopped else len(self.first))
        assert (self.lane.ledger.open_chunks, self.lane.ledger.open_bytes) == (0, 0)

    def arrive(self, indices: Sequence[int], failing: set[int]) -> None:
        if not len(indices):
            return
        outcomes: list[Any] = [
            ValueError(next(self.serial)) if at in failing else ("value", index, next(self.serial))
            for at, index in enumerate(indices)
        ]
        values = [None if at in failing else outcome for at, outcome in enumerate(outcomes)]
        self.lane.arrived(block_of(indices), values, {at: outcomes[at] for at in failing})
        self.expect(indices, outcomes)

    def expect(self, indices: Sequence[int], outcomes: Sequence[Any]) -> None:
        if self.broken:
            return  # what comes now is too late
        for index, outcome in zip(indices, outcomes, strict=True):
            self.first.setdefault(index, outcome)
        failed = sum(isinstance(outcome, (BaseException, type)) for outcome in self.first.values())
        if not self.stopped and self.lane.halt.reached(len(self.first), failed):
            self.expect_stop(BatchHalted, now=self.lane.halt.when == "now")

    def expect_stop(self, error: type[BatchCancelled], *, now: bool) -> None:
        self.stopped = error
        # What was taken from an unsized input and is not sent yet is given up too: nobody else has it.
        unsent = range(len(self.sent), self.total if self.sized else len(self.sent) + len(self.hand))
        for index in [*unsent, *(self.sent if now else [])]:
            self.first.setdefault(index, error)


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=150, stateful_step_count=30)


def test_values_and_errors_keep_their_places_when_a_block_is_partly_known() -> None:
    sink = Record()
    lane = open_lane(6, sink, chunksize=6)
    send(lane)
    lane.arrived(block_of([2]), ["first"], {})
    error = ValueError()
    lane.arrived(block_of(range(6)), ["a", "b", "second", "d", None, "f"], {4: error})
    assert sink.outcomes == {0: "a", 1: "b", 2: "first", 3: "d", 4: error, 5: "f"}


def test_durations_and_worker_reach_the_sink() -> None:
    came: list[Arrival] = []

    class Keep(Record):
        def deliver(self, arrivals: Sequence[Arrival]) -> None:
            came.extend(arrivals)

    lane = open_lane(3, Keep(), chunksize=3)
    send(lane)
    lane.arrived(block_of([1]), [0], {})
    lane.arrived(Block("b", "c", range(3), 2, "host/7", array("f", [0.25, 0.5, 0.75]), {}), [0, 1, 2], {})
    assert [(a.start, a.stop, list(a.seconds), a.attempts, a.worker) for a in came] == [
        (1, 2, [0.5], 1, "host/1"),
        (0, 1, [0.25], 2, "host/7"),
        (2, 3, [0.75], 2, "host/7"),
    ]


def test_the_window_bounds_the_chunks_that_are_out() -> None:
    lane = open_lane(1000, Record(), chunksize=1)
    while lane.ready(SLOTS):
        send(lane)
    assert lane.ledger.open_chunks == chunking.window_chunks(SLOTS)
    lane.arrived(block_of([3]), [None], {})
    assert lane.ready(SLOTS)


def test_the_window_bounds_the_bytes_that_are_out() -> None:
    lane = open_lane(10, Record(), chunksize=1)
    assert lane.next_cut(SLOTS)
    lane.sending("c", 1, chunking.WINDOW_BYTES, None)
    assert not lane.ready(SLOTS)


def test_the_window_of_an_ordered_reader_counts_what_it_has_not_read() -> None:
    lane = open_lane(1000, Record(), chunksize=2, ordered=True)
    while lane.ready(SLOTS):
        lane.arrived(block_of(send(lane)), [None, None], {})
    assert lane.ledger.sent_items == 2 * chunking.window_chunks(SLOTS)
    lane.window.consumed = 1
    assert not lane.ready(SLOTS)
    lane.window.consumed = 2
    assert lane.ready(SLOTS)


def test_a_refused_chunk_fails_each_of_its_items() -> None:
    sink = Record()
    lane = open_lane(4, sink, chunksize=2)
    send(lane, "one")
    send(lane, "two")
    error = ValueError()
    assert [sent.payload_token for sent in lane.reject("two", error)] == ["token"]
    assert sink.outcomes == {2: error, 3: error}
    assert lane.reject("two", error) == []


def test_a_batch_does_not_end_while_its_last_cut_is_on_its_way() -> None:
    lane = open_lane(4, Record(), chunksize=2)
    first = send(lane)
    assert lane.next_cut(SLOTS)
    lane.arrived(block_of(first), [0, 0], {})
    assert not lane.over


def test_calls_between_being_taken_and_sent_are_given_up_with_the_rest() -> None:
    source = SubmitSource(lambda function: PROGRAM)
    future = source.add(abs, (1,), {})
    lane = Lane("b", source, FutureSink(source.futures))
    assert lane.next_cut(SLOTS)
    source.close()
    lane.stop(BatchCancelled("b"), give_up_sent=False)
    assert not lane.sending("c", 1, 10, None)
    assert isinstance(future.exception(timeout=0), BatchCancelled)
    assert lane.over


def test_an_outcome_that_comes_after_the_lane_failed_is_dropped() -> None:
    futures: dict[int, Future[Any]] = {0: Future()}
    future = futures[0]
    lane = open_lane(1, FutureSink(futures))
    send(lane)
    lane.fail(ConnectionError("gone"))
    lane.arrived(block_of([0]), ["late"], {})
    assert isinstance(future.exception(), ConnectionError)


def test_a_lane_fails_once() -> None:
    sink, error = Record(), ValueError()
    lane = open_lane(1, sink)
    lane.fail(error)
    lane.fail(KeyError())
    assert sink.failures == [error]
    assert lane.over
    assert lane.source.exhausted() or not lane.ready(SLOTS)


def test_an_empty_batch_ends_when_its_source_is_looked_at() -> None:
    sink = Record()
    open_lane(0, sink).check_finished()
    assert sink.finished == 1


@pytest.mark.parametrize(("now", "left"), [(True, []), (False, [range(0, 2)])])
def test_soon_waits_for_what_is_out_and_now_does_not(now: bool, left: list[range]) -> None:
    lane = open_lane(6, Record(), chunksize=2)
    send(lane)
    lane.stop(BatchCancelled("b"), give_up_sent=now)
    assert lane.ledger.unanswered() == left
    assert lane.over == now
    assert lane.total == 6


def test_time_stops_with_the_batch() -> None:
    lane = open_lane(0, Record())
    lane.check_finished()
    assert lane.running_seconds == lane.running_seconds
