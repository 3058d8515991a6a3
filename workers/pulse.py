"""Shows the health check that the worker parent's event loop turns: it touches a file, and asks nobody anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manycore.worker.parent.periodic import PeriodicStep
from workers.probe import PULSE_FILE, PULSE_SECONDS


class PulseStep(PeriodicStep):
    """Touches `PULSE_FILE` while the worker consumes. Without a server it stops too: such a worker does no work."""

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        PULSE_FILE.touch()
        return PULSE_SECONDS, PULSE_FILE.touch
