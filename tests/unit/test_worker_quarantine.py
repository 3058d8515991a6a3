"""Which items are put aside: those with the verdict `WorkerCrashed`, each alone and with its own arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from manycore.protocol import packing
from manycore.protocol.message import Chunk, ItemOptions
from manycore.quarantine.poison import MAX_PART_BYTES
from manycore.worker.blackbox import BlackBox
from manycore.worker.child.intake import _doom
from manycore.worker.child.quarantine import _items
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.turn import Doomed
from manycore.worker.strikes import Strike

CRASHED, TIMED_OUT, ONCE = Strike(3, "signal 9"), Strike(1, "exit code 1", "Timeout!"), Strike(1, "signal 9")
CHUNK = Chunk("b.c", "b", "t", None, ItemOptions(timeout=2.0), 100, 2, 6, "token", b"digest", total=200, attempt=2)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ChunkRun]:
    box = BlackBox(tmp_path)
    yield ChunkRun(CHUNK, "cdef", box)  # of the positions 2 to 5
    box.trace.close()


def items_of(run: ChunkRun) -> list[object]:
    return [run.items.take() for _ in range(len(run.items))]


def test_only_those_that_killed_their_process_are_poison(run: ChunkRun) -> None:
    deadly, crashed = _doom(run, {102: CRASHED, 103: TIMED_OUT, 104: ONCE}, 3)
    assert (deadly, crashed) == ([2, 3, 4], {2: CRASHED})
    items = items_of(run)
    assert ([type(item) for item in items[:2]], items[2:]) == ([Doomed, Doomed], ["e", "f"])


def test_what_is_another_chunks_affair_is_that_ones_to_put_aside(tmp_path: Path) -> None:
    """Here it does not run at all: it may have left the quarantine meanwhile, and must not come back."""
    box = BlackBox(tmp_path)
    run = ChunkRun(replace(CHUNK, skipped=(2, 4)), "cdef", box)
    try:
        assert _doom(run, {102: CRASHED, 104: CRASHED, 105: CRASHED}, 3) == ([5], {5: CRASHED})
    finally:
        box.trace.close()


def test_without_strikes_nothing_is_doomed(run: ChunkRun) -> None:
    assert _doom(run, {}, 3) == ([], {})
    assert items_of(run) == list("cdef")


def test_a_time_limit_dooms_and_is_no_poison(run: ChunkRun) -> None:
    assert _doom(run, {103: TIMED_OUT}, 3) == ([3], {})


def test_a_death_that_nobody_saw_dooms_nothing_before_its_claim(run: ChunkRun) -> None:
    run.careful = 4
    assert _doom(run, {102: Strike(2, "signal 9"), 105: Strike(2, "signal 9")}, 3) == ([2, 5], {})


def test_each_is_cut_out_with_its_own_arguments() -> None:
    body = packing.pack([(n, n) for n in range(8)])
    one, other = _items(
        CHUNK, packing.opened(body), {2: CRASHED, 5: Strike(4, "signal 11", "t")}, "io", "f", b"sealed", 0.0
    )
    assert [packing.unpack(item.payload or b"") for item in (one, other)] == [[(2, 2)], [(5, 5)]]
    assert (one.chunk.first, one.chunk.start, one.chunk.stop) == (102, 0, 1)
    assert (one.chunk.payload_token, one.chunk.payload_digest, one.chunk.options) == (None, b"", CHUNK.options)
    assert (other.cause, other.executions, other.trace) == ("signal 11", 4, "t")
    assert (other.queue, other.shadow, other.function) == ("io", "f", b"sealed")


def test_large_arguments_are_not_kept() -> None:
    body = packing.pack([b"", bytes(MAX_PART_BYTES)])
    small, large = _items(
        Chunk("b.c", "b", "t", None, ItemOptions(), 0, 0, 2, None, b""),
        packing.opened(body),
        {0: CRASHED, 1: CRASHED},
        "cpu",
        None,
        None,
        0.0,
    )
    assert small.payload is not None
    assert large.payload is None
    assert large.payload_bytes > MAX_PART_BYTES
