"""`PeriodicStep`: a duty is done again and again, less often while nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state
from kombu.asynchronous.timer import Timer

from manycore.worker.parent import periodic
from manycore.worker.parent.periodic import PeriodicStep


class Duty(PeriodicStep):
    idle_seconds = 50.0

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        return 10.0, consumer.duty


def due(timer: Any) -> list[Any]:
    """What is to come: how soon, and its entry."""
    return [(scheduled.eta - monotonic(), scheduled.entry) for scheduled in timer.queue if not scheduled.entry.canceled]


def test_a_duty_comes_again_until_the_step_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at a multiple of its time since the process began: so those of several steps meet."""
    monkeypatch.setattr(periodic, "_BEGAN", monotonic() - 5)
    done = list[int]()
    consumer = SimpleNamespace(timer=Timer(), duty=lambda: done.append(1))
    step = Duty(consumer)
    step.start(consumer)
    ((seconds, entry),) = due(consumer.timer)
    assert 40 < seconds <= 45
    monkeypatch.setattr(state, "active_requests", {object()})
    consumer.timer.clear()
    entry()
    ((seconds, _),) = due(consumer.timer)
    assert (done, seconds <= 5) == ([1], True)
    step.stop(consumer)
    assert due(consumer.timer) == []


def test_one_that_fails_comes_again() -> None:
    def fail() -> None:
        raise OSError("away")

    consumer = SimpleNamespace(timer=Timer(), duty=fail)
    Duty(consumer).start(consumer)
    ((_, entry),) = due(consumer.timer)
    consumer.timer.clear()
    with pytest.raises(OSError, match="away"):
        entry()
    assert len(due(consumer.timer)) == 1
