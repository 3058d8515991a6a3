"""Waiting in tests: for a condition, never for a time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic


def wait_until(condition: Callable[[], object], description: str, *, seconds: float = 20.0) -> None:
    """Return once `condition()` holds; fail, saying what was awaited, when it does not within `seconds`."""
    deadline = monotonic() + seconds
    pause = Event()
    while not condition():
        assert monotonic() < deadline, f"waited {seconds:g} s in vain until {description}"
        pause.wait(0.01)
