"""Tasks as a user adds them: this file is copied into the folder that the stack mounts over /app/tasks."""

from __future__ import annotations

import os
import time
from pathlib import Path

from manycore import task

RUNS = Path("/runs")
"""A folder of the host, mounted into every worker."""


@task
def note(number: int, *, batch: str, seconds: float) -> int:
    """Keep a core busy, then leave one mark for this run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    with (RUNS / f"{batch}-{number}").open("a") as file:
        file.write("x")
    return number


@task
def fill(mebibytes: int) -> int:
    """Take so much memory, for real."""
    return len(b"x" * (mebibytes * 2**20)) >> 20


@task(fleet="io")
def wait(seconds: float) -> str:
    """Wait, and say which process did."""
    time.sleep(seconds)
    return f"{os.uname().nodename}/{os.getpid()}"


@task
def fail_on_even(number: int, *, seconds: float) -> None:
    """Every second item fails, after so long."""
    time.sleep(seconds)
    if number % 2 == 0:
        raise ValueError(number)
