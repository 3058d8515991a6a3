"""`Rhythm`: when a courier turns to its run, and what it wakes of in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic, thread_time

import pytest

from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker.blackbox import BlackBox
from manycore.worker.child import rhythm as module
from manycore.worker.child.capture import Capture
from manycore.worker.child.rhythm import (
    CALM_TICKS,
    FIRST_TICK_SECONDS,
    FOLLOWED_SECONDS,
    LATE_SECONDS,
    TICK_SECONDS,
    Rhythm,
)
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.splitting import LOOKING_SLOTS
from manycore.worker.noticeboard import Noticeboard
from tests.waiting import wait_until

LONG = 60.0


@pytest.fixture
def board() -> Noticeboard:
    board = Noticeboard()
    board.say_idle(0)
    return board


@pytest.fixture
def rhythm(board: Noticeboard) -> Rhythm:
    return Rhythm(board, 2)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ChunkRun]:
    """Of six items, of which the first has run for a minute."""
    box = BlackBox(tmp_path)
    run = ChunkRun(Chunk("b.c", "b", "task", None, ItemOptions(), 0, 0, 6, None, b""), range(6), box, queue="cpu")
    run.started -= LONG
    yield run
    box.trace.close()


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch, rhythm: Rhythm) -> Callable[[ChunkRun], bool]:
    """Pause where the next report is a long time off."""
    monkeypatch.setattr(module, "CALM_TICKS", LONG / TICK_SECONDS)

    def pause(run: ChunkRun) -> bool:
        rhythm.looked(TICK_SECONDS)
        return rhythm.pause(run, TICK_SECONDS)

    return pause


def test_a_child_whose_neighbours_all_have_work_asks_and_tells_less_often(
    rhythm: Rhythm, board: Noticeboard, run: ChunkRun
) -> None:
    rhythm._looked = (monotonic() - 0.1, TICK_SECONDS)
    run.tally.seconds.append(0.0)
    for idle in (True, False):
        board.say_idle(idle)
        assert rhythm.must_look(run) == rhythm.must_report(run) == idle


def test_a_chunk_whose_batch_is_still_being_sent_is_wanted_by_nobody(
    rhythm: Rhythm, board: Noticeboard, run: ChunkRun
) -> None:
    board.say_idle(1)
    followed, chunk = replace(run.chunk, total=run.chunk.stop + 1), run.chunk
    for run.chunk, since, wanted in ((chunk, 0.0, True), (followed, 0.0, False), (followed, FOLLOWED_SECONDS, True)):
        run.started = monotonic() - since
        assert rhythm.is_wanted(run) == wanted


def test_the_first_tick_comes_early_and_later_where_nobody_waits_for_it(board: Noticeboard, run: ChunkRun) -> None:
    assert Rhythm(board, 2).begin(run, follows=False) == FIRST_TICK_SECONDS
    assert Rhythm(board, 128).begin(run, follows=False) == 8 * FIRST_TICK_SECONDS
    assert Rhythm(board, 2).begin(run, follows=True) == TICK_SECONDS
    board.say_idle(1)
    assert Rhythm(board, 128).begin(run, follows=True) == FIRST_TICK_SECONDS


def test_where_all_have_work_it_sleeps_through_to_the_next_report(rhythm: Rhythm, run: ChunkRun) -> None:
    """Each waking takes the GIL from the item, and some of its core."""
    rhythm.looked(TICK_SECONDS)
    before = monotonic()
    assert not rhythm.pause(run, TICK_SECONDS)
    assert monotonic() - before >= (CALM_TICKS - 1) * TICK_SECONDS
    run.tally.seconds.append(0.0)
    assert rhythm.must_report(run)


@pytest.mark.parametrize("why", ["it may end before", "it is young", "it has printed"])
def test_it_does_not_sleep_past_what_may_come(rhythm: Rhythm, run: ChunkRun, why: str) -> None:
    tick = TICK_SECONDS / 2 if why == "it is young" else TICK_SECONDS
    rhythm.looked(TICK_SECONDS)
    if why == "it may end before":
        run.started = monotonic() - 0.001
    if why == "it has printed":
        run.capture = Capture(run.chunk, run.box.note, "r", 1000)
        run.capture.hear("stdout", b"line\n")
    assert rhythm._until_report(run, tick) == 0.0


def test_what_an_item_prints_wakes_it(rhythm: Rhythm, run: ChunkRun, calm: Callable[[ChunkRun], bool]) -> None:
    run.capture = Capture(run.chunk, run.box.note, "r", 1000)
    run.capture.stir = rhythm.stir
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(calm, run)
        wait_until(lambda: rhythm._sleeps, "it sleeps")
        run.capture.hear("stdout", b"line\n")
        assert not paused.result(timeout=LONG / 2)
    assert rhythm.must_report(run)


def test_a_slot_that_falls_idle_wakes_it(
    rhythm: Rhythm, board: Noticeboard, run: ChunkRun, calm: Callable[[ChunkRun], bool]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(calm, run)
        wait_until(lambda: rhythm._sleeps, "it sleeps")
        board.say_idle(1)
        assert paused.result(timeout=LONG / 2)


def test_it_is_stirred_from_many_threads_at_once(
    rhythm: Rhythm, run: ChunkRun, calm: Callable[[ChunkRun], bool]
) -> None:
    over = threading.Event()

    def stir() -> None:
        while not over.is_set():
            rhythm.stir()

    with ThreadPoolExecutor(5) as pool:
        paused = [pool.submit(calm, run)]
        others = [pool.submit(stir) for _ in range(4)]
        try:
            assert not paused[0].result(timeout=LONG / 2)
        finally:
            over.set()
        for other in others:
            other.result()


def test_of_many_slots_none_needs_descriptors(board: Noticeboard, run: ChunkRun) -> None:
    """They may be threads of one process, which has a thousand as a rule."""
    before = len(os.listdir("/proc/self/fd"))
    rhythms = [Rhythm(board, 200) for _ in range(200)]
    assert len(os.listdir("/proc/self/fd")) == before
    for rhythm in rhythms[:2]:
        assert not rhythm.pause(run, 0.001)
        rhythm.stir()


def test_an_item_that_closes_everything_lets_it_neither_spin_nor_fail(
    rhythm: Rhythm, board: Noticeboard, run: ChunkRun, calm: Callable[[ChunkRun], bool]
) -> None:
    """As what makes a daemon of itself does."""
    for end in (rhythm._stirred, rhythm._stirs, board._woken, board._wakes):
        os.close(end)
    before, used = monotonic(), thread_time()
    for _ in range(3):
        calm(run)
        rhythm.stir()
    assert monotonic() - before >= 3 * TICK_SECONDS
    assert thread_time() - used < 0.1


def test_what_a_run_has_is_shared_when_it_is_asked_for(rhythm: Rhythm, board: Noticeboard) -> None:
    """By a slot of this worker: it wakes one of those that have something."""
    board.say_others(False)
    assert not rhythm.shares_ahead
    board.say_idle(1)
    assert rhythm.shares_ahead


def test_other_workers_cannot_ask(rhythm: Rhythm, board: Noticeboard) -> None:
    assert rhythm.shares_ahead
    board.say_others(False)
    board.say_others(True)
    assert rhythm.shares_ahead


def test_one_of_many_neighbours_is_not_woken_and_shares_ahead(board: Noticeboard) -> None:
    board.say_others(False)
    assert Rhythm(board, LOOKING_SLOTS + 1).shares_ahead


@pytest.mark.parametrize("late", [True, False])
def test_who_may_not_wake_in_time_shares_ahead(
    late: bool, rhythm: Rhythm, board: Noticeboard, run: ChunkRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since an item is in C code that does not let go of the GIL."""
    now = run.started

    def wait(seconds: float) -> bool:
        nonlocal now
        now += seconds + LATE_SECONDS + (0.01 if late else -0.01)
        return False

    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(board, "wait_for_idle", wait)
    board.say_others(False)
    rhythm.begin(run, follows=False)
    rhythm.pause(run, FIRST_TICK_SECONDS)
    assert rhythm.shares_ahead == late
    rhythm.begin(run, follows=False)
    assert not rhythm.shares_ahead


def test_how_long_one_item_has_been_running_is_known_from_one_look_to_the_next(rhythm: Rhythm, run: ChunkRun) -> None:
    rhythm.begin(run, follows=False)
    assert rhythm.seconds_at_one(run) >= LONG, "the first began with the run"
    run.tally.seconds.append(LONG)
    run.tally.values.append(0)
    run.tally.ok += 1
    assert rhythm.seconds_at_one(run) == 0, "the next may have begun just now"
    rhythm.pause(run, FIRST_TICK_SECONDS)
    assert 0 < rhythm.seconds_at_one(run) < LONG
