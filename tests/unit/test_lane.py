"""`Lane`: its window, its halts and its end, one case each; any order of events is in `test_lane_machine`."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from concurrent.futures import Future
from cProfile import Profile
from typing import Any

import pytest

from manycore.client import chunking
from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.sinks import FutureSink, Inbox
from manycore.client.waiting import SubmitSource
from manycore.errors import BatchCancelled, InitializerFailed, ManycoreError, PackagesFailed
from manycore.protocol.message import Block
from manycore.protocol.parcel import Program
from tests.lanes import PROGRAM, SLOTS, Record, Shipping, block_of, open_lane, send


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


@pytest.mark.parametrize("error", [InitializerFailed("load", "OSError: no"), PackagesFailed("a", "host", "no")])
def test_what_keeps_a_batch_from_beginning_ends_all_that_is_unanswered(error: ManycoreError) -> None:
    sink = Record()
    lane = open_lane(9, sink, chunksize=3)
    send(lane)
    send(lane)
    lane.arrived(block_of([0]), ["done"], {})
    lane.arrived(block_of([3, 4, 5]), [None] * 3, dict.fromkeys(range(3), error))
    assert lane.over
    assert sink.outcomes == {0: "done"} | dict.fromkeys(range(1, 9), error)


def test_the_window_bounds_the_chunks_that_are_out() -> None:
    lane = open_lane(1000, Record(), chunksize=1)
    while lane.ready(SLOTS):
        send(lane)
    assert lane.ledger.open_chunks == chunking.window_chunks(SLOTS)
    lane.arrived(block_of([3]), [None], {})
    assert lane.ready(SLOTS)


def test_the_window_bounds_the_bytes_that_are_out_and_leaves_no_slot_idle() -> None:
    lane = open_lane(10, Record(), chunksize=1)
    for number in range(SLOTS + 1):
        assert lane.ready(SLOTS), "each slot has one, however large it is, and the next is there"
        assert lane.next_cut(SLOTS)
        lane.sending(f"c{number}", 1, chunking.WINDOW_BYTES, None)
    assert not lane.ready(SLOTS)
    lane.arrived(block_of([0]), [None], {})
    assert lane.ready(SLOTS)


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


def test_a_batch_does_not_end_while_its_last_calls_are_taken() -> None:
    """To pickle a function takes its time: an outcome that came meanwhile cancelled its calls when a program ended."""
    shipped: list[object] = []

    def ship(function: object) -> Program:
        if function is len:
            source.close()
            lane.arrived(block_of([0]), [1], {})
            shipped.append((lane.over, lane.sent_whole))
        return PROGRAM

    source = SubmitSource(Shipping(ship))
    futures = [source.add(abs, (-1,), {}), source.add(len, ("a",), {})]
    lane = Lane("b", source, FutureSink(source.futures))
    send(lane)
    lane.left()
    send(lane)
    assert shipped == [(False, False)]
    lane.arrived(block_of([1]), ["one"], {})
    assert [future.result(timeout=0) for future in futures] == [1, "one"]
    assert lane.over


def test_a_batch_is_sent_whole_once_its_last_chunk_has_left() -> None:
    """Not when it is about to: who hands it over or takes it over then would find a hole."""
    lane = open_lane(4, Record(), chunksize=2)
    for _ in range(2):
        assert not lane.sent_whole
        send(lane)
        assert not lane.sent_whole
        lane.left()
    assert lane.sent_whole


def test_calls_between_being_taken_and_sent_are_given_up_with_the_rest() -> None:
    source = SubmitSource(Shipping())
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


def test_calls_that_have_failed_are_counted_not_listed() -> None:
    """The one lane of `submit` lives as long as its cluster, and every call that failed had a place in it."""
    lane = open_lane(100, Inbox(), chunksize=100)
    send(lane)
    for index in range(0, 100, 2):
        lane.arrived(block_of([index]), [None], {0: ValueError()})
    assert (lane.ledger.failed, len(lane.ledger.failures)) == (50, 0)


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


def calls_to_deliver(total: int) -> int:
    """Calls made for outcomes of which no two neighbours come together, every other one an error.

    Counted, not timed: seconds of CPU depend on who else has it.
    """
    lane, error = open_lane(total, Inbox(), chunksize=total), ValueError()
    send(lane)
    with Profile() as profile:
        for start in (0, 1):
            for first in range(start, total, 200):
                indices = range(first, min(first + 200, total), 2)
                errors: dict[int, BaseException] = dict.fromkeys(range(0, len(indices), 2), error)
                lane.arrived(block_of(list(indices)), [0] * len(indices), errors)
    assert lane.over
    return sum(entry.callcount for entry in profile.getstats())


def test_four_times_as_many_scattered_outcomes_take_four_times_as_much() -> None:
    """Sixteen times, where each one looks at all the gaps: 4.8 s for 16,000."""
    few, many = calls_to_deliver(1_000), calls_to_deliver(4_000)
    assert many < 5 * few, f"{few:,} calls, and {many:,}"


HUGE = 10**15


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize("answered", [0, 1])
def test_to_give_up_any_number_of_items_costs_nothing(now: bool, answered: int) -> None:
    """An outcome was made for each: a thousand million took all memory, more left the batch without an end."""
    inbox = Inbox()
    lane = open_lane(HUGE, inbox, chunksize=10)
    send(lane)
    lane.arrived(block_of(range(answered)), [0] * answered, {})
    lane.stop(BatchCancelled("b"), give_up_sent=now)
    assert lane.over == now
    lane.arrived(block_of(range(10), cancelled=True), [], {})
    assert lane.over
    assert (len(lane.ledger.answered), lane.ledger.failed) == (HUGE, HUGE - answered)
    assert sum(len(arrival.values) for arrival in inbox.arrivals) == HUGE
    assert [type(arrival.errors.get(0)) for arrival in inbox.arrivals[answered:]] == [BatchCancelled] * 2


def test_what_an_earlier_run_has_answered_of_any_number_of_items_stays() -> None:
    sink = Inbox()
    lane = open_lane(HUGE, sink)
    lane.ledger.expected_items = HUGE
    lane.arrived(block_of([3]), ["kept"], {})
    lane.stop(BatchCancelled("b"), give_up_sent=True)
    spans = [(arrival.start, arrival.stop, len(arrival.errors)) for arrival in sink.arrivals]
    assert spans == [(3, 4, 0), (0, 3, 3), (4, HUGE, HUGE - 4)]
    assert lane.ledger.failed == HUGE - 1


@pytest.mark.parametrize("leaves", [True, False])
def test_one_that_fails_half_sent_was_not_sent_whole(leaves: bool) -> None:
    """What is not taken from its input then was to come: who attached to it got a list that was too short."""
    lane = open_lane(4, Record(), chunksize=2)
    send(lane)
    if leaves:
        lane.left()
    lane.fail(BatchCancelled("b"))
    lane.left()
    assert (lane.sent_whole, lane.total) == (False, 4)


def test_one_that_fails_after_its_last_chunk_was_sent_whole() -> None:
    lane = open_lane(4, Record(), chunksize=4)
    send(lane)
    lane.left()
    lane.fail(BatchCancelled("b"))
    assert lane.sent_whole


def test_one_whose_input_has_raised_was_not_sent_whole() -> None:
    lane = open_lane(4, Record(), chunksize=4)
    send(lane)
    lane.left()
    lane.source.error = LookupError()
    assert not lane.sent_whole
