"""`BlackBox`: what a child noted last is what its parent reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker import blackbox
from manycore.worker.blackbox import FUNCTION, MAX_TRACE_BYTES, SETUP, BlackBox, Reading


def chunk_of(name: str) -> Chunk:
    return Chunk(name, "batch", "task", None, ItemOptions(), 100, 2, 9, None, b"")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[BlackBox]:
    opened = BlackBox(tmp_path)
    yield opened
    opened.trace.close()


@pytest.mark.parametrize("position", [0, 1, 2**40])
def test_the_noted_item_is_read(box: BlackBox, tmp_path: Path, position: int) -> None:
    box.begin(chunk_of("batch.chunk"), "chunk/1")
    box.note[0] = position
    assert blackbox.read(tmp_path, os.getpid()) == Reading("batch.chunk", 100 + position, "chunk/1")


def test_a_shorter_id_after_a_longer_one_is_read_alone(box: BlackBox, tmp_path: Path) -> None:
    for name in ("a-very-long-name" * 8, "short"):
        box.begin(chunk_of(name), "chunk/1")
    box.note[0] = 0
    assert blackbox.read(tmp_path, os.getpid()) == Reading("short", 100, "chunk/1")


@pytest.mark.parametrize("position", [blackbox.NOBODY, 0])
def test_a_new_box_blames_nobody(box: BlackBox, tmp_path: Path, position: int) -> None:
    """Killed before its first chunk, or before it has written anything."""
    assert box.note[0] == blackbox.NOBODY
    box.note[0] = position
    assert blackbox.read(tmp_path, os.getpid()) is None


def test_between_chunks_nobody_is_to_blame(box: BlackBox, tmp_path: Path) -> None:
    box.begin(chunk_of("batch.chunk"), "chunk/1")
    box.note[0] = 5
    box.end()
    assert blackbox.read(tmp_path, os.getpid()) is None


def test_before_the_first_item_nobody_is_to_blame(box: BlackBox, tmp_path: Path) -> None:
    box.note[0] = 5
    box.begin(chunk_of("batch.chunk"), "chunk/1")
    assert blackbox.read(tmp_path, os.getpid()) is None


def test_the_trace_of_a_hard_limit_is_read(box: BlackBox, tmp_path: Path) -> None:
    box.begin(chunk_of("batch.chunk"), "chunk/1")
    box.note[0] = 1
    box.trace.write(b"Timeout!\xff" + b"x" * 2 * MAX_TRACE_BYTES)
    box.trace.flush()
    reading = blackbox.read(tmp_path, os.getpid())
    assert reading is not None
    assert reading.trace.startswith("Timeout!\ufffdx")
    assert len(reading.trace) == MAX_TRACE_BYTES


def test_a_box_stays_until_it_is_removed(box: BlackBox, tmp_path: Path) -> None:
    box.begin(chunk_of("batch.chunk"), "chunk/1")
    box.note[0] = 1
    for _ in range(2):
        reading = blackbox.read(tmp_path, os.getpid())
        assert reading is not None
        assert (reading.batch, reading.run) == ("batch", "chunk/1")
    assert blackbox.owners(tmp_path) == [os.getpid()]
    blackbox.remove(tmp_path, os.getpid())
    assert blackbox.read(tmp_path, os.getpid()) is None
    assert not list(tmp_path.iterdir())


def test_a_child_without_a_box_is_no_error(tmp_path: Path) -> None:
    assert blackbox.read(tmp_path, 12345) is None


def test_only_its_owner_may_read_a_box(box: BlackBox, tmp_path: Path) -> None:
    assert (tmp_path / f"{os.getpid()}.box").stat().st_mode & 0o777 == 0o600


def test_its_bytes_are_there_from_the_start(box: BlackBox, tmp_path: Path) -> None:
    """On a full disk, a store into a file with holes ends the process that runs an item: SIGBUS."""
    held = (tmp_path / f"{os.getpid()}.box").stat()
    assert held.st_blocks * 512 >= held.st_size > 0


@pytest.mark.parametrize(
    ("step", "field", "guilty"),
    [
        (FUNCTION, "function d1ge57", "The rebuilding of function d1ge57"),
        (SETUP, "initializer d1ge57", "The initializer of function d1ge57"),
    ],
)
def test_a_step_before_the_items_is_named_by_its_function(
    step: int, field: str, guilty: str, box: BlackBox, tmp_path: Path
) -> None:
    box.begin(replace(chunk_of("batch.chunk"), function="d1ge57"), "chunk/1")
    box.note[0] = step
    reading = blackbox.read(tmp_path, os.getpid())
    assert reading is not None
    assert (reading.field, reading.guilty) == (field, guilty)
    assert Reading.of(reading.chunk, reading.field, reading.run) == reading


def test_what_redis_knows_of_an_item_is_what_its_box_says(box: BlackBox, tmp_path: Path) -> None:
    box.begin(chunk_of("batch.chunk"), "chunk/1")
    box.note[0] = 4
    assert Reading.of("batch.chunk", "104", "chunk/1") == blackbox.read(tmp_path, os.getpid())
