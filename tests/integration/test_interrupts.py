"""Whoever presses Ctrl-C, and goes on: nothing of ours is left held, wherever it came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest

from manycore import Cluster
from manycore.client import locks
from tests.functions import square
from tests.interrupts import Striker, interrupted
from tests.probe import Probe
from tests.waiting import wait_until

PATIENCE = 20


def submitted(cluster: Cluster) -> object:
    return cluster.submit(square, 2)


def mapped(cluster: Cluster) -> object:
    return list(cluster.map(square, [1, 2]))


def pulled(cluster: Cluster) -> object:
    return list(cluster.map(square, iter([1, 2]), buffersize=1))


def called_back(cluster: Cluster) -> object:
    future = cluster.submit(square, 2)
    future.add_done_callback(lambda _: None)
    return future.cancel()


def cancelled(cluster: Cluster) -> object:
    batch = cluster.batch(square, range(3))
    batch.cancel()
    return batch.wait(0)


def put(cluster: Cluster) -> object:
    return cluster.put(b"some")


STEPS = [
    submitted,
    called_back,
    put,
    *(pytest.param(step, marks=pytest.mark.slow) for step in (mapped, pulled, cancelled)),
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.timeout(100)
def test_a_client_goes_on_after_an_interrupt_at_any_moment(
    step: Callable[[Cluster], object],
    start_worker: Callable[..., Any],
    connect: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "_checking", False)  # as outside of tests: those that check their order are of Python
    start_worker()
    cluster = connect()
    assert step(cluster) is not None
    for at in count():
        reached = interrupted(lambda: step(cluster), at)
        assert cluster.submit(square, at).result(PATIENCE) == at * at, f"after an interrupt at moment {at}"
        if not reached:
            break
        step(cluster)  # what is looked up once is looked up again where the interrupt came into it
    assert at > 10
    assert list(cluster.map(square, range(100))) == [n * n for n in range(100)]
    wait_until(lambda: len(cluster._session.lanes()) <= 1, "nothing is left but the calls")


def begun(cluster: Cluster) -> object:
    """Work that waits, in each of its forms."""
    return cluster.submit(square, 1), cluster.map(square, [1, 2]), cluster.batch(square, [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.timeout(100)
def test_a_client_can_be_closed_after_an_interrupt_of_its_end_at_any_moment(
    cancel: bool, start_worker: Callable[..., Any], connect: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_checking", False)
    start_worker()
    for at in count(step=5):  # each has a client of its own
        cluster, waits = connect(), []
        waits.append(begun(cluster))
        reached = interrupted(partial(cluster.shutdown, cancel_futures=cancel), at)
        cluster.shutdown()
        wait_until(lambda: Probe(cluster).threads_ended, f"all has ended after an interrupt at moment {at}")  # noqa: B023
        if not reached:
            break
    assert at > 20


@pytest.mark.timeout(100)
def test_a_client_can_be_closed_after_an_interrupt_of_its_first_call_at_any_moment(
    start_worker: Callable[..., Any], connect: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened for that call is in somebody's hands all the time, or its end would be waited for."""
    monkeypatch.setattr(locks, "_checking", False)
    start_worker()
    for at in count():
        cluster = connect()
        striker = Striker(at, KeyboardInterrupt, ["client/submits.py", "client/session.py", "client/reader.py"])
        with suppress(KeyboardInterrupt), striker.tracing():
            cluster.submit(square, 1)
        closing = threading.Thread(target=cluster.shutdown, daemon=True)
        closing.start()
        closing.join(PATIENCE)
        assert not closing.is_alive(), f"it cannot be closed after an interrupt at moment {at}"
        if not striker.has_struck:
            break
    assert at > 10
