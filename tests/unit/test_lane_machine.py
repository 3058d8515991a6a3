"""`Lane`: whatever happens on the way, each item has one outcome, and the batch ends with the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manycore.client.halt import Halt
from manycore.client.lane import Lane
from manycore.errors import BatchCancelled, BatchHalted
from tests.lanes import SLOTS, Record, Stream, block_of, ready_source

HALTS = ["never", "now,fail=1", "soon,fail=2", "now,fail=30%", "soon,fail=10%"]


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
