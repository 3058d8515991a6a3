"""Runs of chunks without a worker, for tests of `ChunkRun` and `Turn`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker.blackbox import BlackBox
from manycore.worker.child import run as module
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.turn import Call, Turn


@contextmanager
def small_groups() -> Iterator[None]:
    """Two items of a map are timed each, then three at once, however long they take up to a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GAUGED", 2)
        patch.setattr(module, "GROUP", 3)
        patch.setattr(module, "SHORT_SECONDS", 1.0)
        yield


def chunk_of(
    start: int,
    stop: int,
    *,
    retries: int = 0,
    attempt: int = 1,
    timeout: float | None = None,
    of_map: bool = False,
) -> Chunk:
    batch, options = "map-b" if of_map else "b", ItemOptions(retries=retries, timeout=timeout)
    part = Chunk(f"{batch}.c", batch, "task", None, options, 100, start, stop, None, b"", attempt=attempt)
    return replace(part, ephemeral=of_map)


def run_of(box: BlackBox, size: int, *, start: int = 0, **options: Any) -> ChunkRun:
    chunk = chunk_of(start, start + size, **options)
    return ChunkRun(chunk, range(start, start + size), box)


def turn_of(run: ChunkRun, call: Call, *, pickled: bool = False) -> Turn:
    return Turn(run, call, where="here", pickled=pickled, max_memory=None)


def guarded(run: ChunkRun, call: Call, struck: Iterable[int] = ()) -> Turn:
    turn = turn_of(run, call)
    turn.guard(struck)
    return turn
