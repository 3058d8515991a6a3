"""Each item is rebuilt, run, and its result pickled in its own turn: what goes wrong there is its own affair."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from manycore import Cluster
from manycore.errors import WorkerCrashed
from tests.functions import die


class Fatal:
    """Kills the process that rebuilds it; leaves a mark in `folder` each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return die, (self.folder,)


def deaths(folder: Path) -> int:
    return sum(len(path.read_text()) for path in folder.iterdir())


def test_a_function_that_kills_who_rebuilds_it_ends_its_batch(cluster: Cluster, tmp_path: Path) -> None:
    fatal = Fatal(tmp_path)
    results = cluster.batch(lambda _: fatal, range(200)).gather(return_exceptions=True)
    assert {type(result) for result in results} == {WorkerCrashed}
    assert "its function was rebuilt" in str(results[0])
    # Two children may rebuild it at the same time.
    assert deaths(tmp_path) <= 3 + 1
    assert cluster.submit(os.getpid).result(timeout=30)
