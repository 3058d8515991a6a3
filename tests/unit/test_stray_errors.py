"""`ChunkRun.recover`: an exception that comes out of no item, since a signal's handler raises wherever we are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dis import opname
from itertools import count
from types import FrameType
from typing import Any

import pytest

from manycore.worker.blackbox import BlackBox
from manycore.worker.child import run as module
from manycore.worker.child.run import ChunkRun
from tests.runs import run_of


@pytest.fixture(scope="module", autouse=True)
def groups() -> Iterator[None]:
    """Small ones, as in the tests of `ChunkRun`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GAUGED", 2)
        patch.setattr(module, "GROUP", 3)
        patch.setattr(module, "SHORT_SECONDS", 1.0)
        yield


class Stray(BaseException):
    """What a signal's handler raises, wherever we are."""


class Tracer:
    """Raises `Stray` at the place of this number, of all in `run.py` where the interpreter looks for signals."""

    def __init__(self, number: int) -> None:
        self.left = number
        self._looks = False

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Tracer | None:
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            step = opname[frame.f_code.co_code[frame.f_lasti]]
            if self._looks and step != "PUSH_EXC_INFO":  # that call did not return
                self.left -= 1
                if self.left == 0:
                    raise Stray
            self._looks = step.startswith(("CALL", "JUMP_BACKWARD", "RESUME"))
        return self


def run_struck(run: ChunkRun, call: Callable[[Any], Any], number: int) -> bool:
    """Run it all, as the task does. Says whether it has come to the place of that number."""
    tracer, before, finished = Tracer(number), sys.gettrace(), False
    while not finished:
        try:
            sys.settrace(tracer if tracer.left > 0 else None)
            try:
                run.execute(call)
            finally:
                sys.settrace(before)
            finished = not run.items
        except Stray as exc:
            run.recover(exc)
    return tracer.left <= 0


@pytest.mark.parametrize("of_map", [False, True])
@pytest.mark.parametrize("attempt", [1, 2])
def test_an_exception_between_two_items_ends_the_one_at_hand_at_most(box: BlackBox, of_map: bool, attempt: int) -> None:
    """Wherever it comes: of a handler that an item has left, and that raises when its time is over."""

    def call(item: int) -> int:
        if item == 4:
            raise KeyError(item)
        return item * item

    for number in count(1):
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
