"""Lanes without a client, for tests of `Lane`: what feeds them, and what keeps what they deliver."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any

from manycore.client.halt import NEVER, Halt
from manycore.client.lane import Lane
from manycore.client.passage import Arrival
from manycore.client.sources import ReadySource, Taken
from manycore.protocol.message import Block, ItemOptions
from manycore.protocol.parcel import Program

PROGRAM, OPTIONS, SLOTS = Program("task", "cpu"), ItemOptions(), 2


class Stream:
    """An input of unknown length, as `PulledSource` is one, without its thread."""

    total: int | None = None
    error: BaseException | None = None
    first_call = ""
    held_back = False

    def __init__(self, items: Sequence[Any]) -> None:
        self.left = deque(items)

    def ready(self) -> bool:
        return bool(self.left)

    def exhausted(self) -> bool:
        return not self.left

    def take(self, most: int) -> Taken:
        return PROGRAM, OPTIONS, [self.left.popleft() for _ in range(min(most, len(self.left)))]

    def next_size(self, _slots: int, _seconds: float | None, _bytes: float) -> int:
        return 7

    def start(self) -> None: ...

    def more_room(self) -> None: ...

    def give_back(self, error: BaseException) -> None:
        self.left.clear()

    def cut_off(self, error: BaseException) -> None: ...


class Shipping:
    """Ships functions as it is told to; those that are plain go along, if it says so."""

    def __init__(self, submitted: Callable[[Any], Program] = lambda _: PROGRAM, *, along: bool = False) -> None:
        self.submitted = submitted
        self._along = along

    def goes_along(self, function: object) -> bool:
        return self._along and isinstance(function, FunctionType | MethodType)

    def together(self, functions: Sequence[Any]) -> tuple[Program, list[tuple[Any, ...] | BaseException]]:
        """Each brings itself; one that is called "bad" cannot be sent."""
        return PROGRAM, [KeyError("bad") if each.__name__ == "bad" else (each,) for each in functions]


class Record:
    """A sink that keeps what it is told, and refuses to be told twice."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Any] = {}
        self.finished = 0
        self.failures: list[BaseException] = []

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        assert not self.finished
        for arrival in arrivals:
            for offset, value in enumerate(arrival.values):
                assert arrival.start + offset not in self.outcomes
                self.outcomes[arrival.start + offset] = arrival.errors.get(offset, value)

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def finish(self) -> None:
        self.finished += 1


def ready_source(total: int, chunksize: int | None = None) -> ReadySource:
    return ReadySource(iter(range(total)), total, PROGRAM, OPTIONS, chunksize=chunksize)


def block_of(indices: Sequence[int], *, cancelled: bool = False, seconds: float = 0.5) -> Block:
    durations = array("f", [] if cancelled else [seconds] * len(indices))
    return Block("b", "c", indices, 1, "host/1", durations, {}, cancelled)


def open_lane(
    total: int, sink: Any, *, chunksize: int | None = None, halt: Halt = NEVER, ordered: bool = False
) -> Lane:
    return Lane("b", ready_source(total, chunksize), sink, halt=halt, ordered=ordered)


def send(lane: Lane, name: str = "c") -> range:
    """Send the next cut as one chunk."""
    cut = lane.next_cut(SLOTS)
    assert cut is not None
    assert lane.sending(name, len(cut.items), 100, "token")
    return range(cut.first, cut.first + len(cut.items))
