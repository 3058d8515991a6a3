"""`ChunkRun.recover`: an exception that comes out of no item, since a signal's handler raises wherever we are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from manycore.worker.blackbox import BlackBox
from manycore.worker.child import run as module
from manycore.worker.child.run import ChunkRun
from tests.interrupts import Striker
from tests.runs import run_of, small_groups


@pytest.fixture(scope="module", autouse=True)
def groups() -> Iterator[None]:
    with small_groups():
        yield


class Stray(BaseException):
    """What a signal's handler raises, wherever we are."""


def run_struck(run: ChunkRun, call: Callable[[Any], Any], number: int) -> bool:
    """Run it all, as the task does. Says whether it has come to the place of that number."""
    striker, finished = Striker(number, Stray, [module.__file__]), False
    while not finished:
        try:
            with striker.tracing():
                run.execute(call)
            finished = not run.items
        except Stray as exc:
            run.recover(exc)
    return striker.has_struck


@pytest.mark.parametrize("of_map", [False, True])
@pytest.mark.parametrize("attempt", [1, 2])
def test_an_exception_between_two_items_ends_the_one_at_hand_at_most(box: BlackBox, of_map: bool, attempt: int) -> None:
    """Wherever it comes: of a handler that an item has left, and that raises when its time is over."""

    def call(item: int) -> int:
        if item == 4:
            raise KeyError(item)
        return item * item

    for number in count():
        run = run_of(box, 7, start=2, of_map=of_map, retries=1, attempt=attempt)
        struck = run_struck(run, call, number)
        report = run.tally.take_report()
        assert report is not None
        ended = sorted({*report.errors, *report.retry})
        assert report.values == [None if position in ended else position**2 for position in range(2, 9)]
        assert len(report.seconds) == 7
        assert len(report.retry) + len(report.errors) == len(ended) <= 2
        assert 4 in ended
        if not struck:
            assert ended == [4]
            return


def test_an_exception_that_comes_again_before_anything_was_done_is_raised(box: BlackBox) -> None:
    """Or a run with a fault of ours would never end."""
    run = run_of(box, 3)
    run.recover(Stray())
    with pytest.raises(Stray):
        run.recover(Stray())
