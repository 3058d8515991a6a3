"""A named batch is deleted and begun again: what comes late of the one before it is nobody's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manycore import Cluster
from tests.functions import square
from tests.integration.conftest import Server
from tests.waiting import wait_until

Connect = Callable[..., Cluster]
ITEMS, TEXTS = [2, 3, 4], ["2", "3", "4"]


def deleted(server: Server, cluster: Cluster, function: Callable[..., Any]) -> list[bytes]:
    """Begin a batch and delete it; gives its messages, which no worker has seen."""
    client: Any = server.client()
    batch = cluster.batch(function, ITEMS, id="late")
    wait_until(lambda: client.hexists("mc:batch:late", "total"), "all of it is sent")
    messages: list[bytes] = client.lrange("cpu", 0, -1)
    client.delete("cpu")
    batch.delete()
    wait_until(lambda: not client.exists("mc:batch:late"), "it is deleted")
    return messages


def test_a_message_of_a_batch_that_was_deleted_answers_nothing_in_its_successor(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    client: Any = server.client()
    cluster = connect(audit_seconds="0.2")
    messages = deleted(server, cluster, square)
    assert messages
    batch = cluster.batch(str, ITEMS, id="late")
    wait_until(lambda: client.hexists("mc:batch:late", "total"), "all of it is sent")
    client.rpush("cpu", *messages)  # they are taken first
    start_worker()
    assert batch.gather() == TEXTS
    wait_until(lambda: not client.hlen("manycore-unacked") and not client.llen("cpu"), "each is acknowledged")
    assert cluster.attach("late").gather() == TEXTS
    assert batch.progress.failed == 0


def test_outcomes_of_a_batch_that_was_deleted_are_none_of_its_successor(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    client: Any = server.client()
    cluster = connect(audit_seconds="0.2")
    worker = start_worker()
    first = cluster.batch(square, ITEMS, id="late")
    assert first.gather() == [4, 9, 16]
    outcomes = [fields for _, fields in client.xrange("mc:late:out")]
    worker.kill()
    worker.wait()
    first.delete()
    second = cluster.batch(str, ITEMS, id="late")
    for fields in outcomes:
        client.xadd("mc:late:out", fields)
    second.detach(20)
    start_worker(audit_seconds="0.2")
    assert connect(audit_seconds="0.2").attach("late").gather() == TEXTS


def test_a_batch_that_is_run_again_keeps_what_it_has(
    server: Server, start_worker: Callable[..., Any], connect: Connect
) -> None:
    start_worker()
    cluster = connect()
    assert cluster.batch(square, ITEMS, id="kept").gather() == [4, 9, 16]
    mark = server.client().hget("mc:batch:kept", "mark")
    assert mark
    assert connect().batch(square, ITEMS, id="kept").gather() == [4, 9, 16]
    assert server.client().hget("mc:batch:kept", "mark") == mark
