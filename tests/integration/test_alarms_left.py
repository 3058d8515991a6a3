"""Timers that items and calls set and leave: what goes off later ends one item at most, and nothing of ours."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from manycore import Cluster, task
from manycore.errors import RemoteError
from manycore.plain import celery_app
from tests.functions import square, worker_pid
from tests.integration.conftest import Server

WHOLE = 60_000


def strike(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("a limit of the user's own")


def leave_one(number: int, *, timer: int) -> int:
    """With the first item, leave a timer that strikes again and again."""
    if number == 0:
        for ends in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF):
            signal.signal(ends, strike)
        signal.setitimer(timer, 0.002, 0.002)
    return number


@pytest.mark.parametrize("timer", [signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_timer_that_an_item_left_ends_one_item_at_a_time(timer: int, retries: int) -> None:
    """Most of a short item's time is ours, and there a strike ended all that was not reported yet."""
    with Cluster(workers=1) as cluster:
        process = cluster.submit(worker_pid).result(timeout=30)
        batch = cluster.batch(leave_one, range(WHOLE), kwargs={"timer": timer}, retries=retries)
        results = batch.gather(return_exceptions=True)
        wrong = [result for number, result in enumerate(results) if result != number]
        assert {type(result) for result in wrong} <= {TimeoutError, RemoteError}, "the latter if described meanwhile"
        assert len(wrong) < WHOLE / 100
        assert cluster.batch(square, range(100)).gather() == [number * number for number in range(100)]
        assert cluster.submit(worker_pid).result(timeout=30) == process


@task(name="tests.alarms.set")
def set_alarm(seconds: int) -> float:
    """What was left of one, and set another."""
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    signal.alarm(seconds)
    return left


def test_an_alarm_ends_with_what_set_it(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    start_worker(tasks="tests.integration.test_alarms_left")
    cluster, app = connect(url=server.url), celery_app()
    with Cluster(server.url, initializer=set_alarm, initargs=(900,)) as other:
        assert other.submit(set_alarm, 900).result(timeout=30) == 0
    assert cluster.submit(set_alarm, 900).result(timeout=30) == 0
    for _ in range(2):
        assert app.send_task("tests.alarms.set", (900,), queue="cpu").get(timeout=30) == 0
