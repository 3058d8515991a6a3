"""`Strike.verdict`: an item runs again until it has had its executions, or was ended by its time limit."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.errors import ItemTimeout, WorkerCrashed
from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker import strikes
from manycore.worker.blackbox import Reading
from manycore.worker.strikes import Strike


def chunk_of(timeout: float | None = None) -> Chunk:
    return Chunk("b.c", "b", "t", None, ItemOptions(timeout=timeout), 0, 0, 9, None, b"")


@pytest.mark.parametrize(("count", "ended"), [(1, False), (2, False), (3, True), (4, True)])
def test_it_runs_until_it_has_had_its_executions(count: int, ended: bool) -> None:
    verdict = Strike(count, "signal 9 (SIGKILL)").verdict(chunk_of(), 3)
    assert (verdict is not None) == ended


def test_the_verdict_says_how_often_and_how() -> None:
    verdict = Strike(3, "signal 11 (SIGSEGV)").verdict(chunk_of(), 3)
    assert type(verdict) is WorkerCrashed
    assert "3 times (signal 11 (SIGSEGV))" in str(verdict)


def test_a_hard_time_limit_ends_it_at_once() -> None:
    verdict = Strike(1, "exit code 1", "Timeout (0:00:03)!").verdict(chunk_of(2.0), 3)
    assert type(verdict) is ItemTimeout
    assert str(verdict).startswith("The item ran longer than its timeout of 2 s and of 1 s more")


@pytest.mark.parametrize(("trace", "timeout"), [("", 2.0), ("Timeout!", None)])
def test_a_death_within_the_limit_is_a_strike(trace: str, timeout: float | None) -> None:
    assert Strike(1, "signal 9 (SIGKILL)", trace).verdict(chunk_of(timeout), 3) is None


def test_strikes_are_read_from_their_hash() -> None:
    strike = Strike(2, "exit code 3", "trace")
    assert strikes.parse({b"17": json.dumps(asdict(strike)).encode()}) == {17: strike}
    assert strikes.parse({}) == {}


class Hash:
    """A Redis that holds nothing but the strikes of one batch."""

    def __init__(self, **fields: Strike) -> None:
        self.fields = {name[1:].encode(): json.dumps(asdict(strike)).encode() for name, strike in fields.items()}

    def pipeline(self, **_: Any) -> Any:
        return SimpleNamespace(
            hgetall=lambda *_: None,
            hget=lambda *_: None,
            hset=lambda *_: None,
            expire=lambda *_: None,
            execute=lambda: [self.fields, None, None],
        )


@pytest.mark.parametrize(
    ("known", "suspect", "count"),
    [
        ({}, False, 1),
        ({}, True, 2),  # its parent was killed, too, before it could note the first death
        ({"i3": Strike(2, "exit code 3")}, True, 3),
        ({"i4": Strike(1, "exit code 3")}, True, 1),  # a neighbour's death is why the chunk came again
        ({"i20": Strike(1, "exit code 3")}, True, 2),  # of another chunk
    ],
)
def test_a_death_that_nobody_could_name_counts_with_the_first_strike(
    known: dict[str, Strike], suspect: bool, count: int
) -> None:
    redis: Any = Hash(**known)
    assert strikes.record(redis, Reading("b.c", 3, range(9), suspect), "exit code 3", 60).count == count


@pytest.mark.parametrize(("death", "count"), [("w/7", 1), ("w/8", 2), ("", 2)])
def test_a_death_is_counted_once_however_often_it_is_noted(death: str, count: int) -> None:
    """The connection may be cut after the strike was written: it is then noted again."""
    redis: Any = Hash(i3=Strike(1, "exit code 3", death="w/7" if death else ""))
    assert strikes.record(redis, Reading("b.c", 3, range(9), death=death), "exit code 3", 60).count == count
