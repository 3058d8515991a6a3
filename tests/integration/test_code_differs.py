"""Tasks by name stay the workers' own: a client that has them otherwise is told so, and may insist."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import CodeDiffers
from tests import functions

StartWorker = Callable[..., Any]
TASK = "tests.functions.long_task"


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client's copy of the tasks' module, which is not as the worker's."""
    path = tmp_path / "functions.py"
    path.write_text(Path(functions.__file__).read_text() + "\n# edited\n")
    copy = ModuleType(functions.__name__)
    copy.__file__ = str(path)
    monkeypatch.setitem(sys.modules, functions.__name__, copy)
    return path


def test_a_task_of_other_source_is_told_of_and_is_the_workers(
    start_worker: StartWorker, connect: Callable[..., Cluster], edited: Path, tmp_path: Path
) -> None:
    start_worker(tasks="tests.functions")
    cluster = connect()
    with pytest.warns(CodeDiffers, match=rf"{functions.__file__} there, [0-9a-f]{{16}} in {edited} here"):
        batch = cluster.batch(TASK, [(str(tmp_path), 0.0)], star=True)
    assert batch.gather() == ["done"]
    strict = connect(strict_code="1")
    with pytest.raises(CodeDiffers):
        strict.batch(TASK, [(str(tmp_path / "never"), 0.0)], star=True)
    edited.write_text(Path(functions.__file__).read_text())
    with warnings.catch_warnings(action="error"):
        assert strict.batch(TASK, [(str(tmp_path), 0.0)], star=True).gather() == ["done"]


@pytest.mark.slow
def test_what_only_some_workers_know_runs_on_all(
    start_worker: StartWorker, connect: Callable[..., Cluster], tmp_path: Path
) -> None:
    start_worker(tasks="tests.functions")
    start_worker()
    batch = connect().batch(functions.long_task, [(str(tmp_path), 0.05)] * 20, star=True)
    assert len({outcome.worker for outcome in batch.as_completed()}) == 2
