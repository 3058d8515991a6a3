"""A chunk ends in one step: its last outcomes, that nothing of it is left, and the acknowledgement of its message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from manycore import Cluster
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.handing import NOTHING
from manycore.protocol.line import Line
from manycore.protocol.store import Store
from manycore.worker.child.reporter import FINISH
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

RESUME, STREAM = keys.resume("b"), keys.outcomes("b")
HANDED, STAY, QUEUE = keys.handed("b", "mine"), keys.stay("b", "cpu:t:"), "cpu"
NAMES = [RESUME, STREAM, UNACKED, UNACKED_INDEX, HANDED]


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    client = server.client()
    client.hset(UNACKED, "mine", "message")
    client.zadd(UNACKED_INDEX, {"mine": 1})
    client.hset(RESUME, "b.1", "0,0,1,0,1,1/ab,")
    yield client
    client.delete(*NAMES, STAY, QUEUE)


def finish(client: redis.Redis, tag: str, run: str = "1/ab", *, stay: bool = False) -> list[bytes | int]:
    names = [*NAMES, STAY, QUEUE] if stay else NAMES
    args = ["b.1", run, f"0,1,1,0,1,{run},", 60, 60, tag, 60, b"outcome"]
    done: list[bytes | int] = FINISH.run(client, names, args)
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


def test_a_slot_stays_with_its_delivery_which_comes_again_for_nothing(client: redis.Redis) -> None:
    assert finish(client, "mine", stay=True) == [b"", 2]
    assert [*client.hgetall(STAY)] == [b"mine"]
    assert str(client.hget(STAY, "mine")).startswith("b'b.1 ")
    assert client.ttl(STAY) > 0
    assert client.hget(RESUME, "b.1") == b"0,1,1,0,1,1/ab,", "nothing is left to run"
    assert client.hexists(UNACKED, "mine")
    assert client.zscore(UNACKED_INDEX, "mine") == 1


def test_asked_twice_a_slot_stays_once(client: redis.Redis) -> None:
    assert finish(client, "mine", stay=True) == finish(client, "mine", stay=True) == [b"", 2]
    assert [*client.hgetall(STAY)] == [b"mine"]


def test_a_slot_does_not_stay_while_a_message_waits(client: redis.Redis) -> None:
    client.lpush(QUEUE, "message")
    assert finish(client, "mine", stay=True) == [b"", 1]
    assert not client.exists(STAY, UNACKED, RESUME)


def test_who_lost_the_delivery_does_not_stay(client: redis.Redis) -> None:
    assert finish(client, "lost", stay=True) == [b"", 0]
    assert not client.exists(STAY)


def test_a_slot_that_was_called_off_does_not_stay(client: redis.Redis) -> None:
    client.rpush(HANDED, NOTHING)
    assert finish(client, "mine", stay=True) == [b"", 1]
    assert not client.exists(STAY, UNACKED, HANDED)


@pytest.mark.parametrize("stay", [True, False])
def test_asked_again_it_leaves_alone_what_its_slot_was_handed_since(client: redis.Redis, stay: bool) -> None:
    """Its answer got lost, and the next call has come: the delivery is of that one."""
    assert finish(client, "mine", stay=True) == [b"", 2]
    client.delete(STAY)
    client.rpush(HANDED, "next call")
    assert finish(client, "mine", stay=stay) == [b"", 2]
    assert client.hexists(UNACKED, "mine")
    assert not client.exists(STAY)


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
    """And its worker takes the next ones: it knows of the end itself. A slot may stay with it for a moment."""
    for value in range(20):
        assert cluster.submit(abs, -value).result(timeout=20) == value
        assert Probe(cluster).redis.hlen(UNACKED) <= 1
    wait_until(lambda: Probe(cluster).redis.hlen(UNACKED) == 0, "the slot leaves")


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
