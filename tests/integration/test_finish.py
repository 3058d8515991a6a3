"""A chunk ends in one step: its last outcomes, that nothing of it is left, and the acknowledgement of its message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from manycore import Cluster
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.line import Line
from manycore.protocol.store import Store
from manycore.worker.child.reporter import FINISH
from tests.integration.conftest import Server
from tests.probe import Probe

RESUME, STREAM = keys.resume("b"), keys.outcomes("b")
NAMES = [RESUME, STREAM, UNACKED, UNACKED_INDEX]


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    client = server.client()
    client.hset(UNACKED, "mine", "message")
    client.zadd(UNACKED_INDEX, {"mine": 1})
    client.hset(RESUME, "b.1", "0,0,1,0,1,1/ab,")
    yield client
    client.delete(*NAMES)


def finish(client: redis.Redis, tag: str, run: str = "1/ab") -> list[bytes | int]:
    done: list[bytes | int] = FINISH.run(client, NAMES, ["b.1", run, f"0,1,1,0,1,{run},", 60, 60, tag, b"outcome"])
    return done


def test_what_is_acknowledged_leaves_its_outcomes_alone(client: redis.Redis) -> None:
    assert finish(client, "mine") == [b"", 1]
    assert client.xlen(STREAM) == 1
    assert not client.exists(RESUME, UNACKED, UNACKED_INDEX)
    assert client.ttl(STREAM) > 0


def test_who_lost_the_delivery_leaves_word_that_nothing_is_left(client: redis.Redis) -> None:
    """Also whose first answer got lost."""
    assert finish(client, "lost") == [b"", 0]
    assert client.hget(RESUME, "b.1") == b"0,1,1,0,1,1/ab,"
    assert client.ttl(RESUME) > 0
    assert client.hexists(UNACKED, "mine")


def test_who_lost_the_chunk_to_another_run_leaves_it_that(client: redis.Redis) -> None:
    assert finish(client, "mine", run="1/cd") == [b"1/ab", 0]
    assert client.hget(RESUME, "b.1") == b"0,0,1,0,1,1/ab,"
    assert client.hexists(UNACKED, "mine")
    assert client.xlen(STREAM) == 1, "the caller keeps the first"


def test_a_full_server_takes_nothing_of_it(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            finish(client, "mine")
    finally:
        client.config_set("maxmemory", "0")
    assert client.hexists(UNACKED, "mine")
    assert client.hget(RESUME, "b.1") == b"0,0,1,0,1,1/ab,"
    assert finish(client, "mine") == [b"", 1]


def test_a_chunk_leaves_no_delivery_when_its_outcome_is_there(cluster: Cluster) -> None:
    """And its worker takes the next ones: it knows of the end itself."""
    for value in range(20):
        assert cluster.submit(abs, -value).result(timeout=20) == value
        assert Probe(cluster).redis.hlen(UNACKED) == 0


def line_of(server: Server) -> Line:
    store = Store.from_url(server.url, protocol=2)
    assert isinstance(store, Store)
    return Line(store)


def test_a_line_that_was_cut_while_nobody_used_it_is_made_anew(server: Server) -> None:
    line, client = line_of(server), server.client()
    asked = line.round()
    asked.get("a")
    assert asked.execute() == [None]
    client.client_kill_filter(_type="normal", skipme=True)
    asked.get("a")
    asked.push()
    asked.get("b")
    assert asked.execute() == [None, None]


def test_what_was_sent_and_not_asked_for_answers_nothing_else(server: Server) -> None:
    line, client = line_of(server), server.client()
    client.set("a", "1", ex=60)
    left = line.round()
    left.get("a")
    left.push()
    asked = line.round()
    asked.get("b")
    assert asked.execute() == [None]
    client.delete("a")


def test_an_error_that_is_answered_is_in_its_place(server: Server) -> None:
    asked = line_of(server).round()
    asked.evalsha("0" * 40, 0)
    asked.get("a")
    answers = asked.execute(raise_on_error=False)
    assert isinstance(answers[0], redis.exceptions.NoScriptError)
    assert answers[1] is None
    asked.evalsha("0" * 40, 0)
    with pytest.raises(redis.exceptions.NoScriptError):
        asked.execute()
