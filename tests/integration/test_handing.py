"""A call is handed to a slot that waits for it, or goes into its queue, in one step (`hand.lua`, `leave.lua`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.handing import can_be_handed, hand, program_of
from manycore.protocol.message import LOST, Chunk, ItemOptions, new_chunk_id
from manycore.protocol.resume import Resume
from manycore.protocol.store import Store
from manycore.protocol.wire import Wire
from manycore.worker.child.staying import LEAVE
from tests.integration.conftest import Server

BATCH, QUEUE, TTL = "submit-1", "q", 60
CALL = Chunk(
    id=f"{BATCH}.c",
    batch=BATCH,
    task="t",
    function="f",
    options=ItemOptions(),
    first=7,
    start=0,
    stop=1,
    payload_token=None,
    payload_digest=b"",
    ephemeral=True,
)
BEFORE = f"{BATCH}.b"
STAY, RESUME, STRIKES = keys.stay(BATCH, program_of(CALL, QUEUE)), keys.resume(BATCH), keys.strikes(BATCH)
Hand = Callable[[], bool]


def now(client: redis.Redis) -> int:
    found: Any = client.time()
    return int(found[0])


def stay(client: redis.Redis, since: int = 0) -> None:
    """Let the slot wait, for so many seconds."""
    client.hset(STAY, "mine", f"{BEFORE} {now(client) - since}")


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """Of a server at which the slot with the delivery `mine` waits, and before it one that is gone."""
    client = server.client()
    client.hset(STAY, mapping={"gone": f"{BATCH}.a {now(client)}", "junk": "junk"})
    stay(client)
    client.hset(UNACKED, "mine", f"the call {BEFORE}")
    client.hset(RESUME, BEFORE, "6,1,1,0,1,c/d,")
    client.zadd(UNACKED_INDEX, {"mine": 1})
    yield client
    for name in (STAY, RESUME, STRIKES, UNACKED, UNACKED_INDEX, QUEUE, keys.batch(BATCH), keys.handed(BATCH, "mine")):
        client.delete(name)
    client.delete(keys.bell(QUEUE))


@pytest.fixture
def handed(server: Server, client: redis.Redis) -> Hand:
    """Hands the call over; says whether a slot has got it. It is in its queue otherwise, never in both."""
    store = Store.from_url(server.url, protocol=2)
    assert isinstance(store, Store)
    wire = Wire(store)

    def step() -> bool:
        waiting = int(client.llen(QUEUE))
        hand(wire, CALL, "the message", QUEUE, TTL)
        has_it = client.hget(UNACKED, "mine") == f'[the message,"",{json.dumps(QUEUE)}]'.encode()
        assert has_it != (client.llen(QUEUE) == waiting + 1)
        return has_it

    return step


def test_the_slot_has_the_call_and_its_delivery_is_that(client: redis.Redis, handed: Hand) -> None:
    assert handed()
    raw: Any = client.lpop(keys.handed(BATCH, "mine"))
    run, _, message = raw.partition(b" ")
    assert message == b"the message"
    field: Any = client.hget(RESUME, CALL.id)
    found = Resume.parse(field)
    assert found == Resume(7, 0, 1, 0, 1, run.decode())
    assert client.ttl(RESUME) > 0
    assert not client.hexists(RESUME, BEFORE), "it comes no more"
    assert not client.exists(STAY), "it waits no more, and who is gone is forgotten"
    assert client.zscore(UNACKED_INDEX, "mine") == 1, "its lease goes on"
    assert not client.exists(keys.bell(QUEUE))


def test_who_waits_for_long_is_frozen_or_cut_off(client: redis.Redis, handed: Hand) -> None:
    """With its whole worker: else it would have left by now. What it is handed waits for a lease."""
    stay(client, since=10)
    assert not handed()
    assert not client.exists(STAY)


def test_what_lies_there_for_a_slot_that_sleeps_outlives_its_sleep(client: redis.Redis, handed: Hand) -> None:
    assert handed()
    assert client.ttl(keys.handed(BATCH, "mine")) == TTL


def test_a_slot_has_one_call_at_a_time(client: redis.Redis, handed: Hand) -> None:
    assert handed()
    client.hdel(RESUME, CALL.id)
    client.hset(UNACKED, "mine", "another call")
    assert not handed()
    assert client.zrange(keys.bell(QUEUE), 0, -1) == [b""]


@pytest.mark.parametrize("known", ["function f", "initializer f", "7"])
def test_what_has_killed_is_looked_at_first(client: redis.Redis, handed: Hand, known: str) -> None:
    client.hset(STRIKES, known, "{}")
    assert not handed()


def test_a_call_that_has_killed_keeps_no_other_from_its_slot(client: redis.Redis, handed: Hand) -> None:
    client.hset(STRIKES, mapping={"3": "{}", "deaths 3": "a/b", "function g": "{}"})
    assert handed()


def test_a_cancelled_batch_hands_over_nothing(client: redis.Redis, handed: Hand) -> None:
    client.hset(keys.batch(BATCH), "cancelled", "soon")
    assert not handed()


def test_sent_twice_a_call_is_no_second_slots(client: redis.Redis, handed: Hand) -> None:
    """The answer got lost: what it may have begun, its next run asks about."""
    assert handed()
    stay(client)
    client.hset(UNACKED, "mine", "another call")
    assert not handed()


def test_a_full_server_takes_nothing_of_it(client: redis.Redis, handed: Hand) -> None:
    client.hdel(STAY, "gone", "junk")
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.OutOfMemoryError):
            handed()
        client.delete(STAY)
        with pytest.raises(redis.OutOfMemoryError):
            handed()
    finally:
        client.config_set("maxmemory", "0")
    assert client.hget(UNACKED, "mine") == f"the call {BEFORE}".encode()
    assert client.hkeys(RESUME) == [BEFORE.encode()]
    assert not client.exists(QUEUE)
    stay(client)
    assert handed()


@pytest.mark.parametrize("name", [STAY, RESUME, STRIKES, keys.batch(BATCH), keys.bell(QUEUE)])
def test_junk_is_taken_away(client: redis.Redis, handed: Hand, name: str) -> None:
    client.delete(name, STAY) if name == keys.bell(QUEUE) else client.delete(name)
    client.set(name, "junk")
    assert handed() == (name not in (STAY, keys.bell(QUEUE)))


def test_junk_among_the_deliveries_is_nobodys(client: redis.Redis, handed: Hand) -> None:
    client.delete(UNACKED)
    client.set(UNACKED, "junk")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        handed()
    assert client.llen(QUEUE) == 1


def leave(client: redis.Redis) -> bytes | None:
    names = [STAY, keys.handed(BATCH, "mine"), UNACKED, UNACKED_INDEX, RESUME]
    found: bytes | None = LEAVE.run(client, names, ["mine", BEFORE])
    return found


def test_who_leaves_takes_what_it_was_handed_meanwhile(client: redis.Redis, handed: Hand) -> None:
    assert handed()
    assert str(leave(client)).endswith(" the message'")
    assert client.hexists(UNACKED, "mine")
    assert client.hexists(RESUME, CALL.id)


def test_who_asks_again_is_told_by_its_delivery(client: redis.Redis, handed: Hand) -> None:
    """The answer got lost, with what it was handed."""
    assert handed()
    assert leave(client)
    assert leave(client) == f'[the message,"",{json.dumps(QUEUE)}]'.encode()
    assert client.hkeys(RESUME) == [CALL.id.encode()]


def test_who_leaves_with_nothing_acknowledges_its_delivery(client: redis.Redis) -> None:
    assert leave(client) is None
    assert not client.hexists(STAY, "mine")
    assert not client.exists(UNACKED, UNACKED_INDEX, RESUME)


def test_who_has_lost_its_lease_leaves_word_that_nothing_is_left(client: redis.Redis) -> None:
    """Its message is in its queue again, or another slot's: it is not to run once more."""
    client.delete(UNACKED, UNACKED_INDEX)
    assert leave(client) is None
    assert client.hkeys(RESUME) == [BEFORE.encode()]


@pytest.mark.parametrize(
    "other",
    [
        {"batch": "map-1"},
        {"ephemeral": False},
        {"stop": 2},
        {"payload_token": "x"},
        {"suspect": LOST},
    ],
)
def test_only_single_calls_that_were_never_sent_are_handed_over(other: dict[str, object]) -> None:
    assert can_be_handed(CALL)
    assert can_be_handed(replace(CALL, id=new_chunk_id(BATCH)))
    assert not can_be_handed(replace(CALL, **other))  # type: ignore[arg-type]
