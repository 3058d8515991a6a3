"""The signal by which Celery says that a plain call's soft time limit is over. Anybody can send it, at any moment.

Raised while a process waits for its next job, or hands on a result, it would lose that: both ends would wait for ever.
Items have limits of our own: to them it means nothing.
"""

from __future__ import annotations

from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_postrun

_running = ""
"""The plain call on the main thread of this process, which is what a signal interrupts; "" if none may be ended."""


def on_signal(number: int, frame: Any) -> None:
    """End the call that runs, if any does: once, as Celery asks once, whatever the call makes of it."""
    global _running
    if _running:
        _running = ""
        raise SoftTimeLimitExceeded


def may_end(call_id: str) -> None:
    """From here on, until Celery has done all for the call: its result, too, may take for ever to pickle."""
    global _running
    _running = call_id


def _is_over(task_id: str = "", **_: Any) -> None:
    global _running
    if task_id == _running:  # else one that the call itself ran in its place: Celery's `apply`
        _running = ""


task_postrun.connect(_is_over, weak=False, dispatch_uid="manycore.softlimit")
