"""`Noticeboard`: what a parent says, its children know."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import thread_time

import pytest

from manycore.worker.noticeboard import Noticeboard

LONG = 60.0


@pytest.fixture
def board() -> Noticeboard:
    return Noticeboard()


def in_a_child(ask: Callable[[], bool], meanwhile: Callable[[], object]) -> bool:
    """What `ask` gives in a child that was forked before `meanwhile` is done here."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(told, 1)
        os._exit(int(ask()))
    meanwhile()
    os.write(tell, b".")
    answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(told)
    os.close(tell)
    return bool(answer)


def test_until_it_is_said_a_slot_may_be_idle_here_or_elsewhere(board: Noticeboard) -> None:
    assert board.any_idle
    assert board.has_others
    assert not board.drains


def test_what_is_said_after_the_fork_is_known_to_the_child(board: Noticeboard) -> None:
    assert not in_a_child(lambda: board.any_idle, lambda: board.say_idle(0))
    assert in_a_child(lambda: board.drains, board.say_drain)
    assert not in_a_child(lambda: board.has_others, lambda: board.say_others(False))


def test_who_waits_wakes_as_a_slot_falls_idle(board: Noticeboard) -> None:
    board.say_idle(0)
    waiting = threading.Thread(target=board.wait_for_idle, args=(LONG,))
    waiting.start()
    board.say_idle(1)
    waiting.join(LONG / 2)
    assert not waiting.is_alive()


def test_of_several_that_wait_one_wakes(board: Noticeboard) -> None:
    board.say_idle(0)
    board.say_idle(2)
    assert board.wait_for_idle(LONG)
    assert not board.wait_for_idle(0.01), "what was said is read"


def test_who_has_nothing_to_share_wakes_another(board: Noticeboard) -> None:
    board.say_idle(0)
    board.say_idle(1)
    assert board.wait_for_idle(LONG)
    board.wake_one()
    assert board.wait_for_idle(LONG)


def test_what_is_no_longer_so_wakes_nobody(board: Noticeboard) -> None:
    for slots in (0, 1, 0):
        board.say_idle(slots)
    assert not board.wait_for_idle(0.01)


def test_an_item_that_closes_everything_wakes_nobody(board: Noticeboard) -> None:
    """As what makes a daemon of itself does."""
    board.say_idle(0)
    os.close(board._woken)
    os.close(board._wakes)
    before = thread_time()
    assert not board.wait_for_idle(0.2)
    assert thread_time() - before < 0.1, "it has not spun"
    board.wake_one()


def test_nobody_has_to_listen(board: Noticeboard) -> None:
    for _ in range(100_000):  # more than a pipe holds
        board.say_idle(0)
        board.say_idle(1)
    assert board.any_idle
