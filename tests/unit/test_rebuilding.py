"""`Rebuilding`: each value rebuilt once and told once, whoever is held up at one of them."""

from __future__ import annotations

import signal
import threading
from array import array
from typing import Any

import pytest

from manycore.client.lane import Lane
from manycore.client.rebuilding import Rebuilding, Shift
from manycore.errors import MessageRefused, NotUnpicklable
from manycore.protocol import packing
from manycore.protocol.entries import Answered
from manycore.protocol.message import Block
from tests.lanes import Record, open_lane, send

PATIENCE = 10.0
_gates: dict[int, threading.Event] = {}
_reached: dict[int, threading.Event] = {}


class Gate:
    """Is rebuilt once its gate is open."""

    def __init__(self, name: int) -> None:
        _gates[name], _reached[name] = threading.Event(), threading.Event()
        self._name = name

    def __reduce__(self) -> Any:
        return _pass, (self._name,)


def _pass(name: int) -> str:
    _reached[name].set()
    assert _gates[name].wait(PATIENCE)
    return f"through {name}"


def answered(values: list[Any]) -> Answered:
    count = len(values)
    block = Block("b", "c", range(count), 1, "host/1", array("f", [0.5] * count), {})
    return Answered(block, memoryview(packing.pack(values)), None)


def opened(values: list[Any]) -> tuple[Lane, Record, Rebuilding]:
    sink = Record()
    lane = open_lane(len(values), sink, chunksize=len(values))
    send(lane)
    return lane, sink, Rebuilding(lane, answered(values))


def relieved_at(rebuilding: Rebuilding, gate: int) -> threading.Thread:
    """A thread that stands there and has been relieved."""
    shift = Shift()
    thread = threading.Thread(target=shift.rebuild, args=(rebuilding,))
    thread.start()
    assert _reached[gate].wait(PATIENCE)
    assert shift.stands_at is not None
    assert shift.relieve(shift.stands_at)
    return thread


def test_another_goes_on_with_the_next_value() -> None:
    lane, sink, rebuilding = opened([[0], Gate(1), [2], Gate(3), [4]])
    first = relieved_at(rebuilding, 1)
    second = relieved_at(rebuilding, 3)
    Shift().rebuild(rebuilding)
    assert sink.outcomes == {0: [0], 2: [2], 4: [4]}
    for gate in (3, 1):
        _gates[gate].set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert sink.outcomes == {0: [0], 1: "through 1", 2: [2], 3: "through 3", 4: [4]}
    assert lane.over


class Broken:
    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_cannot_be_rebuilt_has_its_error_at_its_place() -> None:
    _, sink, rebuilding = opened([[0], Broken(), [2]])
    Shift().rebuild(rebuilding)
    assert isinstance(sink.outcomes[1], NotUnpicklable)
    assert (sink.outcomes[0], sink.outcomes[2]) == ([0], [2])


class Interrupted:
    def __reduce__(self) -> Any:
        return signal.raise_signal, (signal.SIGINT,)


def test_ctrl_c_is_no_outcome_of_an_item() -> None:
    _, sink, rebuilding = opened([[0], Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        Shift().rebuild(rebuilding)
    assert not sink.outcomes


def test_durations_are_counted_once() -> None:
    lane, _, rebuilding = opened([[0], Gate(1), [2]])
    held = relieved_at(rebuilding, 1)
    Shift().rebuild(rebuilding)
    _gates[1].set()
    held.join(PATIENCE)
    assert lane.ledger.work_seconds == 1.5


def test_what_is_being_rebuilt_is_not_lost() -> None:
    lane, _, rebuilding = opened([[0], Gate(1)])
    held = relieved_at(rebuilding, 1)
    Shift().rebuild(rebuilding)
    assert list(lane.custody.arriving.values()) == [range(2)]
    _gates[1].set()
    held.join(PATIENCE)
    assert not lane.custody.arriving


def test_who_rebuilds_nothing_is_not_relieved() -> None:
    _, _, rebuilding = opened([[0], [1]])
    shift = Shift()
    shift.rebuild(rebuilding)
    assert shift.stands_at is None
    assert not shift.relieve((rebuilding, 1))
    assert not shift.relieved


def test_who_has_gone_on_is_not_relieved() -> None:
    _, _, rebuilding = opened([Gate(0), Gate(1)])
    shift = Shift()
    thread = threading.Thread(target=shift.rebuild, args=(rebuilding,))
    thread.start()
    assert _reached[0].wait(PATIENCE)
    before = shift.stands_at
    _gates[0].set()
    assert _reached[1].wait(PATIENCE)
    assert before is not None
    assert not shift.relieve(before)
    _gates[1].set()
    thread.join(PATIENCE)


def test_a_block_that_does_not_hold_together_is_refused() -> None:
    lane = open_lane(3, Record(), chunksize=3)
    block = Block("b", "c", range(3), 1, "host/1", array("f", [0.5] * 3), {})
    with pytest.raises(MessageRefused, match="2 values for 3 items"):
        Rebuilding(lane, Answered(block, memoryview(packing.pack([1, 2])), None))
