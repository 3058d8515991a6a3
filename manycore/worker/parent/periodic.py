"""A duty of the worker parent that is done every few seconds, from its event loop, while it consumes.

The wiring alone: what a duty does is a class or function of its own, in a file named after it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from celery import bootsteps
from celery.worker import state

_BEGAN = monotonic()


class PeriodicStep(bootsteps.StartStopStep):
    """Subclasses say in `begin` what is called and how often; `end` is for what is to be left behind tidy."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    idle_seconds = 0.0
    """While nothing runs, so much time is between two calls at least."""

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        """The seconds between two calls, and what to call."""
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def end(self) -> None:
        """The worker stops consuming."""

    def start(self, consumer: Any) -> None:
        seconds, call = self.begin(consumer)

        def turn() -> None:
            try:
                call()
            finally:
                if self._timer is not None:
                    plan()

        def plan() -> None:
            pause = seconds if state.active_requests else max(seconds, self.idle_seconds)
            pause -= (monotonic() - _BEGAN) % pause  # at one moment with others, for which this process wakes once
            self._timer = consumer.timer.call_after(pause, turn)

        plan()

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.end()
