"""Sinks: futures get their own outcome, inboxes keep what arrives until it is read."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from manycore.client.passage import Arrival
from manycore.client.sinks import FutureSink, Inbox, OrderedInbox


def futures_of(count: int) -> tuple[dict[int, Future[Any]], list[Future[Any]]]:
    futures = [Future[Any]() for _ in range(count)]
    return dict(enumerate(futures)), futures


def test_each_future_gets_its_own_outcome() -> None:
    by_index, futures = futures_of(4)
    sink, error = FutureSink(by_index), KeyError()
    sink.deliver([Arrival(2, ["c", "d"])])
    sink.deliver([Arrival(0, ["a", None], {1: error})])
    assert [future.exception(0) or future.result(0) for future in futures] == ["a", error, "c", "d"]
    assert not by_index


def test_a_failed_lane_fails_the_futures_that_are_left() -> None:
    by_index, futures = futures_of(2)
    sink, error = FutureSink(by_index), ConnectionError()
    sink.deliver([Arrival(0, ["a"])])
    sink.fail(error)
    sink.finish()
    assert (futures[0].result(0), futures[1].exception(0)) == ("a", error)


def test_an_inbox_keeps_arrivals_in_the_order_they_came() -> None:
    inbox, late, early = Inbox(), Arrival(5, ["x"]), Arrival(0, ["y"])
    inbox.deliver([late])
    inbox.deliver([early])
    assert inbox.arrivals == [late, early]


def test_an_ordered_inbox_finds_arrivals_by_their_start() -> None:
    inbox, arrival = OrderedInbox(), Arrival(5, ["x"])
    inbox.deliver([arrival])
    assert inbox.by_start == {5: arrival}
    assert not inbox.arrivals


def test_an_inbox_says_how_it_ended() -> None:
    finished, failed, error = Inbox(), Inbox(), KeyError()
    finished.finish()
    failed.fail(error)
    assert (finished.finished, finished.error) == (True, None)
    assert (failed.finished, failed.error) == (False, error)
