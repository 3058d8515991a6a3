"""What /proc tells of processes. Linux only, as the faults are. It signals nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic


def children_of(pid: int) -> list[int]:
    """The children of a process; none if it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Expired(Exception):
    """A condition that did not come in time."""


def wait_until(condition: Callable[[], object], description: str, *, seconds: float = 30.0) -> None:
    """Return once `condition()` holds. Raises `Expired`, which says what was awaited."""
    deadline = monotonic() + seconds
    pause = Event()
    while not condition():
        if monotonic() > deadline:
            raise Expired(f"waited {seconds:g} s in vain until {description}")
        pause.wait(0.02)
