"""A worker's consumer leaves what it has no slot for to others, and keeps what it cannot leave."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.worker import state
from kombu.common import QoS

from manycore.protocol.priority import LOW
from manycore.worker.noticeboard import Noticeboard
from manycore.worker.parent.consumer import Consumer


class Worker:
    """Of one slot. It has one chunk, of low priority, whose time has come."""

    def __init__(self, error: Exception | None = None) -> None:
        self.noticeboard, self.slots = Noticeboard(), 1
        self.run: list[Any] = []
        self.left: list[tuple[str, str, str]] = []
        self.prefetch = self.credit = 0
        self._error = error
        self.consumer: Any = Consumer.__new__(Consumer)
        self.consumer.app = SimpleNamespace(context=self)
        self.consumer.on_task_request = self.run.append
        self.consumer.qos = QoS(self._prefetch, 2)
        self.consumer.initial_prefetch_count = 1
        self.request = Request(self)
        state.task_scheduled(self.request)

    def _prefetch(self, prefetch_count: int) -> None:
        self.prefetch = prefetch_count

    def can_consume_max_estimate(self) -> int:
        return self.credit

    def put_back(self, *delivery: str) -> None:
        if self._error is not None:
            raise self._error
        self.left.append((delivery[0], delivery[1], delivery[2]))


class Request:
    """Of a chunk, or, without a delivery, of a plain call."""

    id = "one"

    def __init__(self, worker: Worker) -> None:
        self.delivery_info = {"routing_key": "cpu"}
        self.message = SimpleNamespace(delivery_tag="tag", channel=SimpleNamespace(qos=worker))
        chunk = SimpleNamespace(options=SimpleNamespace(priority="low"))
        self.delivery: Any = SimpleNamespace(chunk=chunk)


@pytest.fixture(autouse=True)
def busy() -> Iterator[Request]:
    """The only slot is busy."""
    other = Request(Worker())
    state.reset_state()
    state.task_reserved(other)
    yield other
    state.reset_state()


def test_without_a_slot_it_goes_back_to_its_list_and_no_more_is_asked_for() -> None:
    worker = Worker()
    worker.consumer.apply_eta_task(worker.request)
    assert (worker.left, worker.run, worker.prefetch) == ([("tag", "cpu", "cpu" + LOW)], [], 1)
    assert worker.request.id not in state.requests
    assert worker.request not in state.scheduled_requests


def test_a_connection_that_would_bring_it_again_at_once_keeps_it() -> None:
    """What runs has come by the one before, and counts against nothing that comes by this one."""
    worker = Worker()
    worker.credit = 1
    worker.consumer.apply_eta_task(worker.request)
    assert (worker.left, worker.run) == ([], [worker.request])


def test_a_slot_takes_it(busy: Request) -> None:
    state.task_ready(busy)
    worker = Worker()
    worker.consumer.apply_eta_task(worker.request)
    assert (worker.left, worker.run, worker.prefetch) == ([], [worker.request], 1)


@pytest.mark.parametrize("most", [0, 2])
def test_one_that_would_take_it_again_keeps_it(most: int) -> None:
    """`--prefetch-multiplier`, `--autoscale`: it would take it, and put it back, without end."""
    worker = Worker()
    worker.consumer.initial_prefetch_count = most
    worker.consumer.apply_eta_task(worker.request)
    assert (worker.left, worker.run) == ([], [worker.request])


def test_a_worker_that_stops_leaves_it_to_others(busy: Request) -> None:
    state.task_ready(busy)
    worker = Worker()
    worker.noticeboard.say_drain()
    worker.consumer.apply_eta_task(worker.request)
    assert (len(worker.left), worker.run) == (1, [])


def test_a_plain_call_waits_here_since_each_of_its_deliveries_is_counted() -> None:
    worker = Worker()
    worker.request.delivery = None
    worker.consumer.apply_eta_task(worker.request)
    assert (worker.left, worker.run, worker.prefetch) == ([], [worker.request], 1)


def test_what_cannot_be_put_back_waits_here() -> None:
    worker = Worker(error=redis.ConnectionError("away"))
    worker.consumer.apply_eta_task(worker.request)
    assert (worker.left, worker.run, worker.prefetch) == ([], [worker.request], 1)
    assert worker.request in state.reserved_requests
