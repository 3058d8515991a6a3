"""Locks have ranks: the first step out of their order raises, in every run, not once in a thousand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from manycore.client import locks
from manycore.client.halt import NEVER
from manycore.client.lane import Lane
from manycore.client.locks import OutOfOrder, Rank, RankedLock, alone, checked
from manycore.client.outbox import Outbox
from manycore.client.sinks import Inbox
from manycore.client.sources import ReadySource
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program


def test_a_lock_of_a_higher_rank_may_be_taken_under_a_lower_one() -> None:
    with checked(), RankedLock(Rank.SESSION), RankedLock(Rank.LEAF):
        pass


@pytest.mark.parametrize(("outer", "inner"), [(Rank.LEAF, Rank.SESSION), (Rank.LEAF, Rank.LEAF)])
def test_any_other_order_raises_before_it_waits(outer: Rank, inner: Rank) -> None:
    with checked(), RankedLock(outer), pytest.raises(OutOfOrder, match=f"{inner.name} is taken under one of rank"):
        RankedLock(inner).acquire()


def test_each_thread_has_an_order_of_its_own() -> None:
    taken = threading.Event()

    def take() -> None:
        with lock:
            taken.set()

    with checked(), RankedLock(Rank.LEAF):
        lock = RankedLock(Rank.SESSION)
        thread = threading.Thread(target=take)
        thread.start()
        assert taken.wait(10)
        thread.join()


def test_a_turn_is_for_one_alone_and_once() -> None:
    turn, taken = threading.RLock(), list[object]()
    assert alone(turn, lambda: taken.append(alone(turn, lambda: taken.append("again"))))
    assert taken == [False]
    with ThreadPoolExecutor(1) as other:
        assert alone(turn, lambda: taken.append(other.submit(alone, turn, lambda: None).result()))
        assert taken == [False, False]
        assert other.submit(alone, turn, lambda: None).result(), "it is free afterwards"


def test_a_turn_is_free_after_what_a_step_raised() -> None:
    turn = threading.RLock()
    with pytest.raises(KeyboardInterrupt):
        alone(turn, interrupt)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(alone, turn, lambda: None).result()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_leaves_no_lock_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one of Python's own making, it could come between the lock and its `with`."""
    monkeypatch.setattr(locks, "_checking", False)  # as outside of tests
    assert isinstance(RankedLock(Rank.LEAF), type(threading.Lock()))


def test_a_lane_delivers_outside_its_lock() -> None:
    """What a sink or a callback takes, or calls of the lane, cannot meet the lane's lock."""

    class Curious(Inbox):
        def finish(self) -> None:
            assert not lane._lock.locked()
            lane.check_finished()
            super().finish()

    inbox = Curious()
    lane = Lane("b", ReadySource(iter(()), 0, Program("t", "cpu"), ItemOptions()), inbox, halt=NEVER)
    with checked():
        lane.check_finished()
    assert inbox.finished


def test_what_one_step_raises_does_not_keep_the_next_from_its_receiver() -> None:
    outbox, came = Outbox(), []
    outbox.put(lambda: [][0])
    outbox.put(lambda: came.append(1))
    outbox.deliver()
    assert came == [1]


def test_an_interrupt_is_raised_once_all_is_delivered() -> None:
    outbox, came = Outbox(), []

    def interrupt() -> None:
        raise KeyboardInterrupt

    outbox.put(interrupt)
    outbox.put(lambda: came.append(1))
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver()
    assert came == [1]


def test_a_step_may_put_another_and_deliver() -> None:
    outbox, came = Outbox(), []

    def again() -> None:
        outbox.put(lambda: came.append(2))
        outbox.deliver()
        came.append(1)

    outbox.put(again)
    outbox.deliver()
    assert came == [1, 2], "in their order, by one at a time"
