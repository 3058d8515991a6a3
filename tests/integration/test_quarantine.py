"""Items that killed their workers are put aside with what runs them again, and do so once the cause is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any, cast

import pytest

from manycore import Cluster
from manycore.errors import ItemTimeout, NotInQuarantine, NotRetryable, WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.again import Retried
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.packing import pack
from manycore.protocol.signing import Keyring, generate_key
from manycore.quarantine import Quarantine, poison
from manycore.quarantine.poison import MAX_PART_BYTES, Poison, PoisonItems, Unreadable
from manycore.quarantine.refused import RefusedMessages
from manycore.worker.child.claims import MAX_POSTPONEMENTS, Claims
from manycore.worker.child.turn import Doomed
from manycore.worker.strikes import Strike
from tests.functions import hold_the_gil, leave_while, measure
from tests.integration.conftest import Server

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
WEEK = keys.QUARANTINE_TTL_SECONDS


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """A file that items die of, for as long as it is there."""
    path = tmp_path / "flag"
    path.touch()
    return path


def crash(cluster: Cluster, flag: Path, *, batch: str = "night", at: int = 7) -> None:
    """Run twenty items of which one dies until it may not run again."""
    results = cluster.batch(leave_while, range(20), id=batch, kwargs={"flag": str(flag), "at": at}).gather(True)
    assert [n for n, result in enumerate(results) if result != n] == [at]
    assert isinstance(results[at], WorkerCrashed)


def only(quarantine: Quarantine) -> Poison:
    (entry,) = quarantine.newest()
    assert isinstance(entry, Poison)
    return entry


def retry_all(quarantine: Quarantine) -> Retried:
    (items,) = quarantine.retryable()
    return quarantine.retry(items)


def no_key_without_end(server: Server) -> bool:
    client = server.client()
    return all(client.ttl(key) > 0 for key in cast(list[bytes], client.keys("mc:*")))


def kept(batch: str = "b", index: int = 0, *, when: float | None = None, size: int = 0, mark: str = "") -> Poison:
    """An item as a worker would keep it."""
    chunk = Chunk(f"{batch}.0", batch, "t", None, ItemOptions(), index, 0, 1, None, b"", mark=mark)
    body = pack([bytes(size)])
    return Poison(when or time(), chunk, "cpu", None, "signal 9 (SIGKILL)", 3, "", len(body), body, None)


def test_a_poison_item_is_put_aside_with_its_cause(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    start_worker()
    crash(connect(), flag)
    with Quarantine(server.url) as quarantine:
        entry = only(quarantine)
        assert quarantine.counts() == {"cpu": 1}
    assert (entry.chunk.batch, entry.chunk.first, entry.queue) == ("night", 7, "cpu")
    assert (entry.cause, entry.executions) == ("signal 9 (SIGKILL)", 3)
    assert entry.name == "tests.functions.leave_while"
    client = server.client()
    for key in (keys.QUARANTINE_ITEMS, keys.quarantined(entry.id)):
        assert WEEK - 60 < client.ttl(key) <= WEEK
    assert no_key_without_end(server)


def test_it_runs_again_once_its_cause_is_gone(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    start_worker()
    crash(connect(), flag)
    flag.unlink()
    with Quarantine(server.url) as quarantine:
        retried = retry_all(quarantine)
        assert quarantine.total() == 0
    assert (retried.of, retried.indices) == ("night", (7,))
    elsewhere = connect()
    assert elsewhere.attach(retried.batch).gather() == [7]
    assert isinstance(elsewhere.attach("night").gather(return_exceptions=True)[7], WorkerCrashed)
    assert no_key_without_end(server)


def test_an_item_that_is_still_poison_comes_back(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    start_worker()
    cluster = connect()
    crash(cluster, flag)
    with Quarantine(server.url) as quarantine:
        first = retry_all(quarantine)
        (error,) = cluster.attach(first.batch).gather(return_exceptions=True)
        assert isinstance(error, WorkerCrashed)
        assert error.args[0] == 3  # strikes began anew
        entry = only(quarantine)
        assert (entry.chunk.batch, entry.chunk.first) == (first.batch, 0)
        flag.unlink()
        second = retry_all(quarantine)
    assert len(second.batch) == len(first.batch)
    assert cluster.attach(second.batch).gather() == [7]


def test_calls_of_different_functions_are_retried_as_one_batch(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    start_worker()
    cluster = connect()
    where = str(flag)
    futures = [
        cluster.submit(leave_while, 0, flag=where),
        cluster.submit(measure, b"123", flag=where),
        cluster.submit(lambda path: leave_while(0, flag=path) + 5, where),
    ]
    assert all(isinstance(future.exception(timeout=30), WorkerCrashed) for future in futures)
    flag.unlink()
    with Quarantine(server.url) as quarantine:
        retried = retry_all(quarantine)
    assert retried.indices == (0, 1, 2)
    assert cluster.attach(retried.batch).gather() == [0, 3, 5]


def test_arguments_that_are_too_large_are_listed_and_not_kept(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    start_worker()
    data = bytes(MAX_PART_BYTES + 1)
    with pytest.raises(WorkerCrashed):
        connect().batch(measure, [data], kwargs={"flag": str(flag)}).gather()
    with Quarantine(server.url) as quarantine:
        entry = only(quarantine)
        assert entry.payload is None
        assert quarantine.retryable() == []
        with pytest.raises(NotRetryable, match="up to 65,536 are kept"):
            quarantine.retryable([entry.id])
    assert (server.client().memory_usage(keys.quarantined(entry.id)) or 0) < 8_192


def test_a_large_function_stays_as_long_as_the_quarantine(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    start_worker()
    cluster, where, ballast = connect(), str(flag), bytes(MAX_PART_BYTES)
    with pytest.raises(WorkerCrashed):
        cluster.batch(lambda n: leave_while(n, flag=where) + len(ballast), [0]).gather()
    flag.unlink()
    client = server.client()
    with Quarantine(server.url) as quarantine:
        entry = only(quarantine)
        assert entry.function is None
        reference = keys.reference(entry.chunk.function or "")
        assert WEEK - 60 < client.ttl(reference) <= WEEK
        sealed = client.get(reference)
        client.delete(reference)
        with pytest.raises(NotRetryable, match="no longer in Redis"):
            quarantine.retryable([entry.id])
        assert quarantine.retryable() == []
        client.set(reference, cast(bytes, sealed), ex=60)
        retried = retry_all(quarantine)
    assert cluster.attach(retried.batch).gather() == [len(ballast)]


def test_a_time_limit_puts_nothing_aside(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    with pytest.raises(ItemTimeout):
        connect().batch(hold_the_gil, [30], timeout=0.2).gather()
    with Quarantine(server.url) as quarantine:
        assert quarantine.newest() == []


def test_what_lies_where_the_quarantine_is_makes_room_for_it(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    server.client().set(keys.QUARANTINE_ITEMS, "not the hash that is expected here", ex=60)
    start_worker()
    crash(connect(), flag)
    with Quarantine(server.url) as quarantine:
        assert only(quarantine).executions == 3
    assert 60 < server.client().ttl(keys.QUARANTINE_ITEMS) <= WEEK


def test_an_item_has_one_entry_and_the_oldest_leave(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "MAX_ITEMS", 3)
    client = server.client()
    items = PoisonItems(client, Keyring.parse(server.key))
    for index in range(5):
        for _ in range(2):
            items.add([kept(index=index)])
    found = items.find(list(items.held()))
    assert [entry.chunk.first for entry in found if isinstance(entry, Poison)] == [4, 3, 2]
    assert len(cast(list[bytes], client.keys("mc:quarantine:item:*"))) == 3


def test_an_item_of_a_later_batch_of_that_name_has_an_entry_of_its_own(server: Server) -> None:
    items = PoisonItems(server.client(), Keyring.parse(server.key))
    for size, mark in enumerate(["monday", "monday.1", "tuesday"]):
        items.add([kept(size=size, mark=mark)])
    assert len(items.held()) == 2


def test_all_of_it_is_bounded_in_bytes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "MAX_BYTES", 100_000)
    items = PoisonItems(server.client(), Keyring.parse(server.key))
    for index in range(4):
        items.add([kept(index=index, size=40_000)])
    assert list(items.held()) == [poison.item_id("b", index) for index in (3, 2)]


def test_who_has_another_key_can_list_and_purge_and_nothing_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    PoisonItems(client, Keyring.parse(server.key)).add([kept()])
    monkeypatch.setenv("MANYCORE_KEY", generate_key())
    with Quarantine(server.url) as quarantine:
        (entry,) = quarantine.newest()
        assert isinstance(entry, Unreadable)
        assert "signed with key" in entry.reason
        with pytest.raises(NotRetryable, match="signed with key"):
            quarantine.retryable([entry.id])
        assert quarantine.purge([entry.id]) == 1
        assert quarantine.newest() == []


def test_an_entry_that_was_swapped_is_not_believed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client()
    PoisonItems(client, Keyring.parse(server.key)).add([kept(index=1), kept(index=2)])
    one, other = (keys.quarantined(poison.item_id("b", index)) for index in (1, 2))
    client.set(one, cast(bytes, client.get(other)), ex=60)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    with Quarantine(server.url) as quarantine:
        (items,) = quarantine.retryable()
        assert [item.chunk.first for item in items] == [2]


def test_both_kinds_are_listed_the_newest_first_and_purged(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client()
    PoisonItems(client, Keyring.parse(server.key)).add([kept(when=1e9)])  # of 2001: over its time, and so not there
    PoisonItems(client, Keyring.parse(server.key)).add([kept(index=1, when=time() - 1)])
    RefusedMessages(client).add("io", "why", b"x", "id")
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    with Quarantine(server.url) as quarantine:
        message, item = quarantine.newest()
        assert (message.kind, item.kind) == ("refused", "poison")
        assert [entry.id for entry in quarantine.newest(1)] == [message.id]
        with pytest.raises(NotRetryable, match="refused message"):
            quarantine.retryable([item.id, message.id])
        with pytest.raises(NotInQuarantine, match="'nobody'"):
            quarantine.purge([item.id, "nobody"])
        assert quarantine.total() == 2
        assert quarantine.purge([item.id, message.id, item.id]) == 2
        assert quarantine.total() == 0
        assert quarantine.refused_counts() == {"io": 1}


def test_an_item_that_gets_its_verdict_by_its_claim_is_put_aside_too(server: Server) -> None:
    """What stays postponed, since an execution of it is never heard of again, has died."""
    chunk = Chunk("b.0", "b", "t", None, ItemOptions(), 40, 2, 4, None, b"", postponed=MAX_POSTPONEMENTS)
    aside: list[tuple[int, Strike]] = []
    struck = {43: Strike(2, "signal 9 (SIGKILL)")}
    claims = Claims(server.client(), chunk, "c/3", 3, 60, struck, lambda *found: aside.append(found))
    claims.judge(3, 0)
    with pytest.raises(Doomed):
        claims.judge(3, 3)
    assert aside == [(3, Strike(3, "signal 9 (SIGKILL)"))]


def test_the_stacks_client_may_do_all_of_it(
    server: Server, start_worker: StartWorker, connect: Connect, flag: Path
) -> None:
    """With the rights that ops/redis/users.acl gives to clients."""
    start_worker()
    crash(connect(), flag)
    url = server.as_user("client")
    flag.unlink()
    with Quarantine(url) as quarantine:
        retried = retry_all(quarantine)
        RefusedMessages(server.client()).add("cpu", "why", b"x", "id")
        assert quarantine.purge([entry.id for entry in quarantine.newest()]) == 1
        assert quarantine.refused_counts() == {"cpu": 1}
    assert connect(url=url).attach(retried.batch).gather() == [7]
