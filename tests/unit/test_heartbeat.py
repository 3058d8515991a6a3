"""`HeartbeatStep`: what a worker says of itself once it consumes."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.protocol import keys
from manycore.worker.parent import heartbeat
from manycore.worker.parent.heartbeat import Heartbeat, HeartbeatStep


@pytest.mark.parametrize("is_private", [True, False])
def test_stock_is_taken_for_clients_that_may_have_other_packages(
    is_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local cluster has those of its client. To take it costs CPU that items could have."""
    done: list[str] = []

    class Heartbeat:
        def __init__(self, *_: Any) -> None:
            self.beat, self.take_stock = lambda: done.append("beat"), lambda: done.append("stock")

    monkeypatch.setattr(heartbeat, "Heartbeat", Heartbeat)
    monkeypatch.setattr(heartbeat, "Observer", lambda *_: None)
    consumer: Any = SimpleNamespace(
        app=SimpleNamespace(context=SimpleNamespace(is_private=is_private)),
        controller=SimpleNamespace(concurrency=2),
        task_consumer=SimpleNamespace(queues=[]),
        hostname="w0",
    )
    assert HeartbeatStep(consumer).begin(consumer)[0] == keys.HEARTBEAT_SECONDS
    assert done == (["beat"] if is_private else ["beat", "stock"])


def test_a_beat_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The first is a step of the worker's start: what it raises would end that, with exit code 0."""
    context: Any = SimpleNamespace(
        is_private=False,
        app=SimpleNamespace(tasks={}),
        keyring=SimpleNamespace(ids=["id"]),
        settings=SimpleNamespace(allow_functions=True),
        clock=SimpleNamespace(now=lambda: 1 / 0),
    )
    with caplog.at_level(logging.ERROR):
        Heartbeat(context, "w0", 1, [], observer=context).beat()
    assert "The heartbeat failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text
