"""Batches take turns: one that has had its share of every slot lets others go first, and ends all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manycore import Cluster
from manycore.protocol.broker import LATER
from tests.functions import busy, square
from tests.integration.conftest import Server
from tests.queues import waiting
from tests.waiting import wait_until

Connect = Callable[..., Cluster]
StartWorker = Callable[..., Any]


def test_a_small_batch_need_not_wait_for_a_huge_one(start_worker: StartWorker, connect: Connect) -> None:
    """It waited for the end of it, however long that took."""
    start_worker()
    huge = connect().batch(busy, [0.01] * 20_000)
    wait_until(lambda: huge.progress.done > 50, "it is under way")
    small = connect().batch(square, range(40))
    assert small.gather() == [n * n for n in range(40)]
    assert huge.progress.done < 10_000
    huge.cancel()


def test_nor_does_a_call(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    huge = connect().batch(busy, [0.01] * 20_000)
    wait_until(lambda: huge.progress.done > 50, "it is under way")
    assert connect().submit(square, 7).result(timeout=20) == 49
    huge.cancel()


def test_what_waits_behind_comes_to_its_end_beside_a_stream_of_calls(
    start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    batch, calls = connect().batch(busy, [0.005] * 400), connect()
    while batch.progress.done < 400:
        assert [call.result(timeout=20) for call in [calls.submit(busy, 0.005) for _ in range(20)]]
    assert len(batch.gather()) == 400


def test_what_is_beyond_a_share_of_every_slot_waits_apart(server: Server, connect: Connect) -> None:
    connect().batch(square, range(10_000))
    client = server.client()
    wait_until(lambda: waiting(client, "cpu") == 8, "all chunks are queued")
    assert (client.llen("cpu"), client.llen("cpu" + LATER)) == (2, 6)
