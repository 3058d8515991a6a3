"""`Strike.verdict`: an item runs again until it has had its executions, or was ended by its time limit."""

from __future__ import annotations

import json

import pytest

from manycore.errors import ItemTimeout, WorkerCrashed
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.resume import new_run
from manycore.worker import strikes
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


def fields_of(subject: str, deaths: str, **facts: str) -> dict[bytes, bytes]:
    return {subject.encode(): json.dumps(facts).encode(), f"deaths {subject}".encode(): deaths.encode()}


def test_strikes_are_read_from_their_hash() -> None:
    fields = fields_of("17", "c/1 c/2", cause="exit code 3", trace="trace")
    assert strikes.parse(fields) == {17: Strike(2, "exit code 3", "trace")}
    assert strikes.parse({}) == {}


@pytest.mark.parametrize("facts", [b"", b"{", b"[]", b'"x"', b"null", b'{"cause": 1}', b"\xff"])
def test_what_we_have_not_written_is_no_strike(facts: bytes) -> None:
    """The hash is not signed: whoever can write to the server can write junk, and a chunk must not fail for it."""
    assert strikes.parse({b"17": facts, b"deaths 17": b"c/1", b"junk": b"\xff", b"deaths \xff": b""}) == {}


def test_what_is_under_way_is_read_too() -> None:
    assert strikes.claimed({b"claims 17": b"c/1 d/2", b"17": b""}) == {"17": ["c/1", "d/2"]}


def test_a_run_names_its_chunk() -> None:
    chunk = chunk_of()
    one, other = new_run(chunk), new_run(chunk)
    assert one != other
    assert strikes.owner_of(one) == strikes.owner_of(other) == "c"
