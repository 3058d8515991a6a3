"""A process keeps what initializers made: one active at a time, each with the globals that it set."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from manycore import worker_state
from manycore.errors import NoWorkerState
from manycore.worker import states
from manycore.worker.states import Setup, States
from tests.waiting import wait_until

COUNT = 0
NAME = "of nobody"


def named(name: str) -> str:
    global NAME
    NAME = name
    return name


def setup(name: str, code: str | None = None) -> Setup:
    return Setup(name, named, (name,), code)


def never(_: Setup) -> Any:
    raise AssertionError("it has run already")


def test_it_runs_once_and_its_state_is_there_meanwhile() -> None:
    kept = States()
    for run in (Setup.run, never):
        with kept.of(setup("a"), run):
            assert worker_state() == "a"
        with pytest.raises(NoWorkerState):
            worker_state()


def test_without_an_initializer_nothing_is_done() -> None:
    with States().of(None, never), pytest.raises(NoWorkerState):
        worker_state()


def test_each_has_its_own_state_and_globals_in_turns() -> None:
    kept = States()
    for run in (Setup.run, never, never):
        for name in "ab":
            with kept.of(setup(name), run):
                assert (worker_state(), NAME) == (name, name)


def test_what_an_item_does_to_the_globals_stays_with_its_initializer(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin() -> None:
        global COUNT
        COUNT = 10

    counting, kept = Setup("c", begin, ()), States()
    for expected in (10, 11, 12):
        with kept.of(counting, Setup.run):
            assert expected == COUNT
            monkeypatch.setitem(globals(), "COUNT", COUNT + 1)
        with kept.of(setup("b"), Setup.run):
            assert COUNT == 0


def test_another_program_with_the_same_initializer_has_its_globals() -> None:
    """Shipped by value, each program has a copy of its script's globals."""
    source = "def init(value):\n    global shared\n    shared = value\n"
    programs: list[dict[str, Any]] = [{}, {}]
    for program in programs:
        exec(source, program)
    kept = States()
    for program, run in zip([*programs, *programs], [Setup.run, never, never, never], strict=True):
        with kept.of(Setup("v", program["init"], (7,)), run):
            assert program["shared"] == 7
    with kept.of(setup("b"), Setup.run):
        assert not any("shared" in program for program in programs)


@pytest.mark.parametrize(
    "wrapped",
    [functools.partial(named, "a"), functools.wraps(named)(lambda *args: named(*args))],
    ids=["partial", "wraps"],
)
def test_the_globals_of_a_wrapped_one_are_found(wrapped: Callable[..., Any]) -> None:
    assert Setup("w", wrapped, ()).namespace() is globals()


@pytest.mark.parametrize("odd", [dict, print, type("Callable", (), {"__call__": lambda self: None})()])
def test_one_without_globals_works(odd: Any) -> None:
    with States().of(Setup("o", odd, ()), Setup.run):
        assert worker_state() in ({}, None)


def test_only_the_last_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "KEPT_STATES", 2)
    kept, made = States(), list[str]()

    def run(wanted: Setup) -> Any:
        made.append(wanted.digest)
        return wanted.run()

    for name in "abcab":
        with kept.of(setup(name), run):
            assert (worker_state(), NAME) == (name, name)
    assert made == ["a", "b", "c", "a", "b"]
    assert len(kept._kept) == 2


def test_what_a_dropped_archive_has_made_is_dropped() -> None:
    kept = States()
    with kept.of(setup("a", code="old"), Setup.run):
        pass
    assert len(kept.forget("old")) == 1
    assert not kept.forget("old")
    with kept.of(setup("a", code="old"), Setup.run):
        assert worker_state() == "a"


def test_one_that_fails_is_not_kept() -> None:
    kept = States()

    def broken(_: Setup) -> Any:
        raise OSError("no")

    with pytest.raises(OSError, match="no"), kept.of(setup("a"), broken):
        pass
    with kept.of(setup("a"), Setup.run):
        assert worker_state() == "a"


def test_threads_share_one_run_and_others_wait_their_turn() -> None:
    kept, release, runs, seen = States(), threading.Event(), list[str](), list[tuple[str, str]]()

    def run(wanted: Setup) -> Any:
        runs.append(wanted.digest)
        assert release.wait(10)
        return wanted.run()

    def item(name: str) -> None:
        with kept.of(setup(name), run):
            seen.append((worker_state(), NAME))

    with ThreadPoolExecutor(9) as pool:
        found = [pool.submit(item, name) for name in "abcabcabc"]
        wait_until(lambda: runs, "one has begun")
        assert len(runs) == 1
        release.set()
        for future in found:
            future.result(timeout=10)
    assert sorted(runs) == ["a", "b", "c"]
    assert sorted(seen) == [(name, name) for name in "aaabbbccc"]


def test_threads_that_waited_for_one_that_failed_fail_with_it() -> None:
    kept, release, runs = States(), threading.Event(), list[str]()

    def broken(wanted: Setup) -> Any:
        runs.append(wanted.digest)
        assert release.wait(10)
        raise OSError("no")

    def item() -> None:
        with kept.of(setup("a"), broken):
            raise AssertionError("it did not begin")

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(item) for _ in range(2)]
        wait_until(lambda: kept._users == 2, "both are there")
        release.set()
        assert {type(future.exception(timeout=10)) for future in found} == {OSError}
    assert runs == ["a"]
