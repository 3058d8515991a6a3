"""A plain Celery call that ends badly while a child runs it ends, after three executions, and its worker goes on.

Not held here, for it does not hold yet: calls on the threads of `io`, and arguments whose rebuilding kills.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore.errors import WorkerCrashed
from manycore.plain import celery_app
from tests.integration.conftest import Server

StartWorker = Callable[..., Any]


ENDS = [("kill", WorkerCrashed, 3), ("exit", WorkerCrashed, 3), ("memory", MemoryError, 1)]


@pytest.mark.parametrize(("how", "error", "runs"), ENDS)
def test_a_call_that_ends_badly_ends(
    how: str,
    error: type[Exception],
    runs: int,
    server: Server,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    worker = start_worker(tasks="tests.functions")
    for name, value in {"URL": server.url, "KEY": server.key}.items():
        monkeypatch.setenv(f"MANYCORE_{name}", value)
    folder = tmp_path / "runs"
    folder.mkdir()
    app = celery_app()
    with pytest.raises(error):
        app.send_task("tests.functions.deadly_task", (str(folder), how)).get(timeout=30)
    assert (folder / "0").read_text() == "x" * runs
    assert app.send_task("tests.functions.long_task", (str(folder), 0.0)).get(timeout=30) == "done"
    assert worker.poll() is None
