"""A named batch that was cancelled runs again: messages that its first run left are no reason to refuse its items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from manycore import Cluster
from manycore.protocol.message import seal_block
from manycore.protocol.packing import pack
from manycore.protocol.signing import Keyring
from tests.functions import square
from tests.integration.conftest import Server
from tests.lanes import block_of
from tests.probe import Probe
from tests.waiting import wait_until


def test_a_cancelled_batch_runs_again_while_its_messages_still_wait(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    client: Any = server.client()
    first = connect(audit_seconds="0.2").batch(square, range(40), id="again")
    wait_until(lambda: client.hexists("mc:batch:again", "total"), "all of it is sent")
    first.cancel()
    wait_until(lambda: not client.keys("mc:again:in:*"), "its payloads are deleted")
    assert client.llen("cpu"), "its messages still wait"
    second = connect(audit_seconds="0.2").batch(square, range(40), id="again")
    start_worker()
    assert second.gather() == [n * n for n in range(40)]


def test_what_an_earlier_run_has_done_stays_done_and_what_it_says_late_of_the_rest_is_nobodys(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    """Outcomes of before the cancel stand; word that items were cancelled, or refused, may come after the second run
    has begun."""
    client: Any = server.client()
    cluster = connect(audit_seconds="0.2")
    worker = start_worker()
    first = cluster.batch(square, range(10), id="again")
    assert first.gather() == [n * n for n in range(10)]
    worker.kill()
    worker.wait()
    client.hset("mc:batch:again", "cancelled", "1")  # as another client does that is a moment too late
    mark = client.hget("mc:batch:again", "mark").decode()
    late = replace(block_of(range(10, 12), cancelled=True), batch="again", mark=mark)
    second = cluster.batch(square, range(12), id="again", on_change="accept")
    client.xadd("mc:again:out", {"o": seal_block(Keyring([server.key.encode()]), late, pack([]))})
    start_worker()
    assert second.gather() == [n * n for n in range(12)]
    assert mark != client.hget("mc:batch:again", "mark").decode()


def test_a_batch_that_is_cancelled_and_begun_again_at_once_is_told_from_its_first_run(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    """Its workers were not even told of the first one's end."""
    client: Any = server.client()
    cluster = connect(audit_seconds="0.2")
    first = cluster.batch(square, range(40), id="again")
    wait_until(lambda: client.hexists("mc:batch:again", "total"), "all of it is sent")
    with Probe(cluster).busy_housekeeper():
        first.cancel()
        second = cluster.batch(square, range(40), id="again")
    start_worker()
    assert second.gather() == [n * n for n in range(40)]
