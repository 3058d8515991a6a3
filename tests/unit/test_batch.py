"""`Batch`: gathered as a whole or as it completes, again and again."""

from __future__ import annotations

from array import array
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.client.batch import Batch
from manycore.client.lane import Lane
from manycore.client.outcome import Outcome
from manycore.client.passage import Sink
from manycore.client.sinks import Inbox
from manycore.client.sources import ReadySource
from manycore.errors import BatchCancelled, ForkedCluster
from manycore.protocol.message import Block, ItemOptions
from manycore.protocol.parcel import Program


class Running:
    """A batch whose outcomes the test delivers."""

    def __init__(self, total: int) -> None:
        self.inbox = Inbox()
        source = ReadySource(iter(range(total)), total, Program("t", "cpu"), ItemOptions(), chunksize=max(total, 1))
        self.lane = Lane("pi-1e8", source, self.inbox)
        self.batch = Batch(self.lane, self.inbox, "tasks.pi", self)
        if total:
            self.lane.next_cut(1)
            self.lane.sending("c", total, 1, None)
        self.lane.check_finished()

    def cancel(self, lane: Lane, *, terminate: bool = False) -> None:
        self.lane.stop(BatchCancelled(self.lane.id), give_up_sent=True)

    def settle(self, lane: Lane) -> None: ...

    def detach(self, lane: Lane, timeout: float | None = None) -> None: ...

    def delete(self, lane: Lane) -> None: ...

    def rerun_failed(self, lane: Lane, sink: Sink) -> tuple[Lane, str]:
        raise NotImplementedError

    def logs(self, lane: Lane) -> Any:
        return SimpleNamespace(of_item=lambda index, arrival: ())

    def answer(self, start: int, *values: Any) -> None:
        """Deliver outcomes from index `start` on; an exception among them is an error."""
        errors = {at: value for at, value in enumerate(values) if isinstance(value, BaseException)}
        indices = range(start, start + len(values))
        block = Block("pi-1e8", "c", indices, 2, "host/1", array("f", [0.5] * len(values)), {})
        self.lane.arrived(block, [None if at in errors else value for at, value in enumerate(values)], errors)


@given(st.permutations(range(8)))
def test_results_come_in_the_order_of_the_input(order: list[int]) -> None:
    running = Running(8)
    for index in order:
        running.answer(index, index * index)
    assert running.batch.gather() == [index * index for index in range(8)]
    assert running.batch.gather() == [index * index for index in range(8)]


def test_an_empty_batch_gathers_nothing() -> None:
    assert Running(0).batch.gather() == []


def test_the_first_error_of_the_input_is_raised() -> None:
    running = Running(3)
    running.answer(2, KeyError("last"))
    running.answer(0, "a", LookupError("first"))
    with pytest.raises(LookupError, match="first"):
        running.batch.gather()


def test_errors_stand_in_the_list_on_request() -> None:
    running, error = Running(3), KeyError()
    running.answer(0, "a", error, "c")
    assert running.batch.gather(return_exceptions=True) == ["a", error, "c"]


def test_gathering_leaves_arrivals_as_they_are() -> None:
    running, error = Running(2), KeyError()
    running.answer(0, "a", error)
    running.batch.gather(return_exceptions=True)
    assert [outcome.value for outcome in running.batch.as_completed()] == ["a", None]


def test_outcomes_come_as_they_complete() -> None:
    running, error = Running(3), KeyError()
    running.answer(1, "b", error)
    running.answer(0, "a")
    expected = [
        Outcome(1, "b", None, 2, "host/1", 0.5),
        Outcome(2, None, error, 2, "host/1", 0.5),
        Outcome(0, "a", None, 2, "host/1", 0.5),
    ]
    assert list(running.batch.as_completed()) == expected
    assert list(running.batch.as_completed()) == expected


def test_waiting_says_whether_it_ended() -> None:
    running = Running(1)
    assert not running.batch.wait(0)
    running.answer(0, "a")
    assert running.batch.wait(0)
    assert running.batch.wait()


def test_progress_counts_outcomes() -> None:
    running = Running(3)
    running.answer(0, "a", KeyError())
    progress = running.batch.progress
    assert (progress.total, progress.done, progress.failed) == (3, 2, 1)
    assert progress.seconds > 0


def test_cancelling_ends_it_at_once() -> None:
    running = Running(3)
    running.answer(1, "b")
    running.batch.cancel()
    found = running.batch.gather(return_exceptions=True)
    assert [type(value) for value in found] == [BatchCancelled, str, BatchCancelled]


def test_of_any_number_of_items_that_were_given_up_the_first_can_be_had() -> None:
    source = ReadySource(range(10**15), 10**15, Program("t", "cpu"), ItemOptions())
    running = Running(0)
    running.lane = Lane("huge", source, running.inbox)
    running.inbox.finished = False
    batch = Batch(running.lane, running.inbox, "tasks.pi", running)
    batch.cancel()
    assert (batch.progress.done, batch.progress.failed) == (10**15, 10**15)
    with pytest.raises(BatchCancelled):
        batch.gather()
    found = list(islice(batch.as_completed(), 3))
    assert [(outcome.index, type(outcome.error)) for outcome in found] == [(n, BatchCancelled) for n in range(3)]


@pytest.mark.parametrize("read", [Batch.gather, Batch.wait, lambda batch: list(batch.as_completed())])
def test_what_ended_the_batch_is_raised(read: Any) -> None:
    running = Running(2)
    running.lane.fail(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        read(running.batch)


@pytest.mark.parametrize("read", [Batch.gather, lambda batch: list(batch.as_completed())])
def test_an_error_of_the_input_is_raised_at_the_end(read: Any) -> None:
    running = Running(1)
    running.lane.source.error = LookupError()
    running.answer(0, "a")
    with pytest.raises(LookupError):
        read(running.batch)


@pytest.mark.parametrize(
    "use",
    [
        *(Batch.gather, Batch.wait, lambda batch: list(batch.as_completed()), lambda batch: list(batch.logs())),
        *(Batch.cancel, Batch.detach, Batch.delete, Batch.rerun_failed),
    ],
    ids=["gather", "wait", "as_completed", "logs", "cancel", "detach", "delete", "rerun_failed"],
)
def test_in_a_forked_child_nothing_is_asked_for(use: Any) -> None:
    def forked() -> None:
        raise ForkedCluster(1)

    running = Running(1)
    batch = Batch(running.lane, running.inbox, "tasks.pi", running, forked)
    with pytest.raises(ForkedCluster):
        use(batch)
    assert not running.lane.over
    assert "0/1 done" in repr(batch)


def test_in_a_forked_child_nothing_is_read_of_what_items_wrote() -> None:
    """Another thread may have held its lock as the process was forked."""

    def check_owner() -> None:
        if is_forked:
            raise ForkedCluster(1)

    is_forked, running = False, Running(1)
    running.answer(0, "a")
    batch = Batch(running.lane, running.inbox, "tasks.pi", running, check_owner)
    outcome = next(batch.as_completed())
    assert (outcome.logs, outcome.stdout) == ((), "")
    is_forked = True
    for read in (lambda: outcome.logs, lambda: outcome.stdout):
        with pytest.raises(ForkedCluster):
            read()


def test_it_shows_how_far_it_is() -> None:
    running = Running(3)
    running.answer(0, "a", KeyError())
    assert repr(running.batch) == "<Batch pi-1e8 of tasks.pi: 2/3 done, 1 failed>"
