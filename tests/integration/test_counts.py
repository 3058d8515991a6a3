"""A gate on counts: commands, messages and bytes do not depend on the machine's mood, as seconds do."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import urandom
from time import thread_time
from typing import Any

import pytest
import redis

from manycore import Cluster
from manycore.client.stream import TRIM_BYTES
from manycore.protocol import keys
from tests.events import heard, kinds_of
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

CALLS = 50
BUSY: dict[str, float] = {
    "lpush": 1,  # the message
    "eval": 1,  # the bell
    "bzpopmin": 1,
    "rpop": 1,  # the taking
    "exists": 2,  # likewise, and whether the delivery is of another call by now
    "lindex": 2,  # likewise; whether its slot is to stay
    "hset": 3,  # it is recorded; its chunk begins; the batch's account
    "evalsha": 4,  # the chunk is taken, begins, ends with its acknowledgement, and is told in the account
    "zadd": 2,
    "hget": 3,  # its resume point, as it begins and as it ends; the account
    "get": 1,
    "set": 1,
    "hmget": 2,  # cancelled, of which life? the account
    "hsetnx": 3,
    "hincrby": 2,  # the account
    "time": 2,
    "hgetall": 2,  # strikes; whether a slot stays for it
    "xadd": 1,  # the outcome
    "expire": 3,
    "xread": 1,
    "hdel": 2,
    "zrem": 1,
    "publish": 0.5,  # events, several at a time
}
"""Commands of one call on an idle cluster, at most."""
BYTES_A_CALL = 7_500
"""To the server and from it, at most: three times the message, which passes it twice and is recorded, is most of it."""


@pytest.fixture
def counted(server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> Cluster:
    start_worker()
    cluster = connect(audit_seconds="3600")
    for _ in range(CALLS):  # the function is shipped, the connections are there
        assert cluster.submit(abs, -1).result(timeout=20) == 1
    return cluster


@contextmanager
def counting(client: redis.Redis) -> Iterator[Counter[str]]:
    """How often each command was called meanwhile."""

    def calls() -> Counter[str]:
        stats: dict[str, dict[str, Any]] = client.info("commandstats")
        return Counter({name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()})

    before, found = calls(), Counter[str]()
    yield found
    found.update(calls() - before)


def traffic(client: redis.Redis) -> int:
    """Bytes that have come to the server and gone from it."""
    stats: dict[str, int] = client.info("stats")
    return stats["total_net_input_bytes"] + stats["total_net_output_bytes"]


def test_the_commands_and_bytes_of_one_call(server: Server, counted: Cluster) -> None:
    """Its chunk names an archive of code, which costs none: the child has it."""
    assert Probe(counted).program(abs).code is not None
    client = server.client()
    before = traffic(client)
    with counting(client) as found:
        for _ in range(CALLS):
            assert counted.submit(abs, -1).result(timeout=20) == 1
    assert (traffic(client) - before) / CALLS <= BYTES_A_CALL
    per_call = {name: count / CALLS for name, count in found.items()}  # and 0.3 for what comes by time
    more = {name: count for name, count in per_call.items() if count > BUSY.get(name, 0) * 1.2 + 0.3}
    assert more == {}


@pytest.mark.parametrize("kwargs", [{}, {"ndigits": 1}])
def test_the_outcome_of_a_call_is_on_its_way_before_it_is_counted(
    server: Server, counted: Cluster, kwargs: dict[str, Any]
) -> None:
    client: Any = server.client()
    account = keys.account(Probe(counted).submit_stream.split(":")[1])
    wait_until(lambda: client.hget(account, "done") == b"%d" % CALLS, "those before it are counted")
    with client.monitor() as monitor:
        assert counted.submit(round, 2.0, **kwargs).result(timeout=20) == 2
        written = [monitor.next_command()["command"].partition(" ")[0].upper()]
        while not {"XADD", "HINCRBY"} <= set(written):
            written.append(monitor.next_command()["command"].partition(" ")[0].upper())
    assert written.index("XADD") < written.index("HINCRBY")


def test_a_small_map_that_was_short_before_is_one_message_and_one_round_trip(server: Server, counted: Cluster) -> None:
    """Its function is held and its stream read before it begins; what it leaves is tidied up later, several at once."""
    for _ in range(5):
        assert list(counted.map(abs, range(20))) == list(range(20))
    with counting(server.client()) as found:
        for _ in range(CALLS):
            assert list(counted.map(abs, range(20))) == list(range(20))
    once = {name: found[name] / CALLS for name in ("lpush", "eval", "xadd", "xread")}
    assert all(count < 1.2 for name, count in once.items() if name != "eval"), once
    assert once["eval"] < BUSY["eval"] * 1.2
    assert found["unlink"] < CALLS


def test_many_items_are_few_messages_and_few_bytes(server: Server, counted: Cluster) -> None:
    client = server.client()
    before = traffic(client)
    with counting(client) as found:
        assert sum(counted.map(abs, range(100_000))) == sum(range(100_000))
    assert found["lpush"] + found["rpush"] <= 100
    assert sum(found.values()) <= 3_000
    assert (traffic(client) - before) / 100_000 <= 60  # each number there and back, twice past the server


def test_equal_items_of_one_worker_are_one_message_a_slot_and_hardly_more(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    """Nothing is given away before somebody asks for it, as soon as the worker knows that it is the only one."""
    start_worker(slots=2)
    cluster = connect(audit_seconds="3600")
    cluster.submit(burn, 0).result(timeout=20)

    def messages() -> int:
        with counting(server.client()) as found:
            cluster.batch(burn, [0.05] * 48).gather()
        return found["lpush"] + found["rpush"]

    wait_until(lambda: messages() <= 3, "the last item may change hands, no more")


def burn(seconds: float) -> None:
    """Compute for so long."""
    begun = thread_time()
    while thread_time() - begun < seconds:
        pass


def test_a_worker_imports_no_command_of_celery(counted: Cluster) -> None:
    """All of them, and their plugins, Flower among these, are a third of what a worker imports."""
    assert counted.submit(imported, ("celery.bin.amqp", "click_repl", "flower")).result(timeout=20) == []


def imported(names: tuple[str, ...]) -> list[str]:
    """The modules of these names that this process has."""
    return [name for name in sys.modules if name.startswith(names)]


def test_flower_still_sees_each_event_in_order(server: Server, counted: Cluster) -> None:
    whole = ["task-received", "task-started", "task-succeeded"]
    with heard(server.url, counted) as seen:
        wait_until(
            lambda: sum(kinds_of(events) == whole for events in list(seen.values())) >= 3, "three tasks were seen whole"
        )


def test_what_was_read_leaves_the_server_within_seconds_or_where_it_is_much(server: Server, counted: Cluster) -> None:
    client, stream, size = server.client(), Probe(counted).submit_stream, 10_000
    wait_until(lambda: client.xlen(stream) == 0, "nothing is left of what the fixture has called")
    for _ in range(4 * TRIM_BYTES // size):
        assert len(counted.submit(urandom, size).result(timeout=20)) == size
        assert int(client.xlen(stream)) * size < 2 * TRIM_BYTES
    wait_until(lambda: client.xlen(stream) == 0, "nothing that was read is left")
