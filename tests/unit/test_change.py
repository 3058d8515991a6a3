"""A change that threads wait for: told to each of them, and to nobody in vain."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from manycore.client.change import Change

PATIENCE = 30


def test_what_is_there_is_not_waited_for() -> None:
    assert Change().wait_for(lambda: "there") == "there"


@pytest.mark.parametrize("seconds", [0.0, 0.001, -1.0])
def test_what_does_not_come_is_waited_for_so_long(seconds: float) -> None:
    change = Change()
    assert change.wait_for(lambda: 0, seconds) == 0
    assert not change.awaited


def test_a_wait_may_be_longer_than_any_clock_counts() -> None:
    change, looks = Change(), iter([False, False, True])
    threading.Timer(0.0, lambda: wait_and_tell(change)).start()
    assert change.wait_for(lambda: next(looks), 1e12)


def wait_and_tell(change: Change) -> None:
    while not change.awaited:
        pass
    change.tell()


def test_all_who_wait_are_told() -> None:
    change, there = Change(), threading.Event()
    with ThreadPoolExecutor(4) as threads:
        waits = [threads.submit(change.wait_for, there.is_set, PATIENCE) for _ in range(4)]
        there.set()
        change.tell()
        assert all(wait.result(PATIENCE) for wait in waits)
    assert not change.awaited


def test_none_of_many_changes_is_missed() -> None:
    """Two threads hand a turn to and fro: one that was missed would leave both waiting."""
    change, turns = Change(), [0]

    def play(mine: int) -> None:
        for _ in range(2_000):
            assert change.wait_for(lambda: turns[0] % 2 == mine, PATIENCE)
            turns[0] += 1
            change.tell()

    with ThreadPoolExecutor(2) as threads:
        for game in [threads.submit(play, mine) for mine in range(2)]:
            game.result(2 * PATIENCE)
    assert turns == [4_000]


def test_what_the_look_raises_is_raised_and_leaves_nobody_waiting() -> None:
    change, looks = Change(), iter([0])
    with pytest.raises(StopIteration):
        change.wait_for(lambda: next(looks), PATIENCE)
    assert not change.awaited


def test_to_tell_twice_wakes_once_and_raises_nothing() -> None:
    change = Change()

    def look() -> bool:
        change.tell()
        change.tell()
        return len(looks.append(1) or looks) > 2  # type: ignore[func-returns-value]

    looks: list[int] = []
    assert change.wait_for(look, PATIENCE)
    assert len(looks) == 3
