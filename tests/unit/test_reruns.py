"""`rerun`: what a worker says of what it runs again at somebody's request, however long it takes to send."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.errors import NotRetryable
from manycore.protocol.again import Retried
from manycore.worker.parent import reruns
from manycore.worker.parent.reruns import rerun


def context() -> Any:
    return SimpleNamespace(reruns={})


def test_who_asks_again_gets_the_same_batch_also_while_it_is_being_sent() -> None:
    """The event loop is not kept until the end; asked for twice, it was sent twice."""
    worker, gate = context(), Event()
    sent: list[str] = []

    def send(new: str) -> Retried:
        gate.wait()
        sent.append(new)
        return Retried(new, "night", (3, 4))

    first = rerun(worker, "night", "one", send, seconds=0.0)
    assert first == rerun(worker, "night", "one", send, seconds=0.0)
    assert first["items"] is None
    gate.set()
    assert rerun(worker, "night", "one", send, seconds=20.0) == first | {"items": 2}
    assert sent == [first["batch"]]
    assert rerun(worker, "night", "two", send, seconds=20.0)["batch"] != first["batch"]


def test_what_cannot_be_sent_may_be_asked_for_again() -> None:
    worker = context()

    def refuse(new: str) -> Retried:
        raise NotRetryable("night", "none of its items has failed")

    for _ in range(2):
        with pytest.raises(NotRetryable, match="has failed"):
            rerun(worker, "night", "one", refuse, seconds=20.0)
    assert not worker.reruns


def test_so_many_requests_are_remembered() -> None:
    worker = context()
    for number in range(reruns.MOST + 5):
        rerun(worker, "night", str(number), lambda new: Retried(new, "night", ()), seconds=20.0)
    assert len(worker.reruns) == reruns.MOST
