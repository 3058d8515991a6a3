"""The signal by which Celery says that a plain call's soft time limit is over. Anybody can send it, at any moment.

Raised while a process waits for its next job, or hands on a result, it would lose that: both ends would wait for ever.
Items have limits of our own: to them it means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

_runs = False
"""Whether a plain call runs on the main thread of this process, which is what a signal interrupts."""


def on_signal(number: int, frame: Any) -> None:
    """End the call that runs, if any does."""
    if _runs:
        raise SoftTimeLimitExceeded


@contextmanager
def may_end() -> Iterator[None]:
    """Around what may be ended so."""
    global _runs
    _runs = True
    try:
        yield
    finally:
        _runs = False
