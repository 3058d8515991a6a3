"""`BlackBox`: what a child noted last is what its parent reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manycore.worker import blackbox
from manycore.worker.blackbox import MAX_TRACE_BYTES, BlackBox, Reading


@pytest.fixture
def box(tmp_path: Path) -> Iterator[BlackBox]:
    opened = BlackBox(tmp_path)
    yield opened
    opened.trace.close()


@pytest.mark.parametrize("position", [0, 1, 2**40])
def test_the_noted_item_is_read(box: BlackBox, tmp_path: Path, position: int) -> None:
    box.begin("batch.chunk")
    box.note[0] = position
    assert blackbox.read(tmp_path, os.getpid()) == Reading("batch.chunk", position, "")


def test_a_shorter_id_after_a_longer_one_is_read_alone(box: BlackBox, tmp_path: Path) -> None:
    for name in ("a-very-long-name" * 8, "short"):
        box.begin(name)
    box.note[0] = 0
    assert blackbox.read(tmp_path, os.getpid()) == Reading("short", 0, "")


def test_between_chunks_nobody_is_to_blame(box: BlackBox, tmp_path: Path) -> None:
    box.begin("batch.chunk")
    box.note[0] = 5
    box.end()
    assert blackbox.read(tmp_path, os.getpid()) is None


def test_before_the_first_item_nobody_is_to_blame(box: BlackBox, tmp_path: Path) -> None:
    box.note[0] = 5
    box.begin("batch.chunk")
    assert blackbox.read(tmp_path, os.getpid()) is None


def test_the_trace_of_a_hard_limit_is_read(box: BlackBox, tmp_path: Path) -> None:
    box.begin("batch.chunk")
    box.note[0] = 1
    box.trace.write(b"Timeout!\xff" + b"x" * 2 * MAX_TRACE_BYTES)
    box.trace.flush()
    reading = blackbox.read(tmp_path, os.getpid())
    assert reading is not None
    assert reading.trace.startswith("Timeout!\ufffdx")
    assert len(reading.trace) == MAX_TRACE_BYTES


def test_a_box_is_read_once_and_removed(box: BlackBox, tmp_path: Path) -> None:
    box.begin("batch.chunk")
    box.note[0] = 1
    assert blackbox.read(tmp_path, os.getpid())
    assert blackbox.read(tmp_path, os.getpid()) is None
    assert not list(tmp_path.iterdir())


def test_a_child_without_a_box_is_no_error(tmp_path: Path) -> None:
    assert blackbox.read(tmp_path, 12345) is None


def test_only_its_owner_may_read_a_box(box: BlackBox, tmp_path: Path) -> None:
    assert (tmp_path / f"{os.getpid()}.box").stat().st_mode & 0o777 == 0o600
