"""Flower is told of calls that have ended a few at a time, and yet keeps up with them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery.worker import state

from manycore.worker.parent.events import SHARE, SLICE, Deferred, Step
from manycore.worker.parent.followers import tell


class Consumer:
    """With a timer that a test lets go off, and a dispatcher that remembers."""

    def __init__(self) -> None:
        self.timer = self.event_dispatcher = self
        self.enabled = True
        self.planned: list[Callable[[], object]] = []
        self.told: list[str] = []
        self.producer: Any = None

    def call_after(self, seconds: float, call: Callable[[], object]) -> None:
        self.planned.append(call)

    def send(self, type: str, **fields: Any) -> None:
        if type == "task-received":
            self.told.append(fields["uuid"])

    def go_off(self) -> None:
        (call,) = self.planned
        self.planned.clear()
        call()


def steps(count: int, what: str = "c") -> list[Step]:
    lines = [json.dumps([f"{what}{n}", "item", 1.0, 0.1, "1 ok"]).encode() for n in range(count)]
    return [partial(tell, "f", "own", "", line) for line in lines]


def test_deliveries_without_any_take_no_turn() -> None:
    consumer = Consumer()
    deferred = Deferred(consumer)
    for _ in range(100):
        deferred.later([])
    assert not consumer.planned


def test_those_of_several_deliveries_are_told_of_together() -> None:
    consumer = Consumer()
    deferred = Deferred(consumer)
    for n in range(SLICE):
        deferred.later(steps(1, f"{n}-"))
    consumer.go_off()
    assert consumer.told == [f"{n}-0" for n in range(SLICE)]
    assert not consumer.planned
    deferred.later(steps(2))
    consumer.go_off()
    assert consumer.told[SLICE:] == ["c0", "c1"]


def test_while_nobody_hears_one_of_each_few_is_told_of_and_all_are_counted() -> None:
    """The one says whether somebody has come."""
    consumer, counted = Consumer(), state.total_count["f"]
    consumer.producer = SimpleNamespace(channel=SimpleNamespace(heard_by=0))
    deferred = Deferred(consumer)
    deferred.later(steps(SLICE))
    consumer.go_off()
    assert consumer.told == [f"c{SLICE - 1}"]
    assert state.total_count["f"] == counted + SLICE
    consumer.producer.channel.heard_by = 1
    deferred.later(steps(SLICE))
    consumer.go_off()
    assert len(consumer.told) == 1 + SLICE


def test_very_many_are_told_of_faster() -> None:
    consumer, turns = Consumer(), 0
    Deferred(consumer).later(steps(100 * SLICE * SHARE))
    while consumer.planned:
        consumer.go_off()
        turns += 1
    assert len(consumer.told) == 100 * SLICE * SHARE
    assert turns < 10 * SHARE


def test_threads_may_end_theirs_at_once() -> None:
    consumer = Consumer()
    deferred = Deferred(consumer)

    def end() -> None:
        for _ in range(200):
            deferred.later(steps(1))

    threads = [threading.Thread(target=end) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while consumer.planned:
        consumer.go_off()
    assert len(consumer.told) == 800
