"""Work that goes on until a test says so."""

from __future__ import annotations

import time
from pathlib import Path

from manycore import task
from tests.functions import note_run


def run_until_told(number: int, folder: str) -> int:
    """Leave a file for each run, and go on until there is one of the name `go`."""
    note_run(number, folder=folder)
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return number


@task
def held_task(folder: str) -> int:
    """The same, for plain Celery calls."""
    return run_until_told(0, folder)
