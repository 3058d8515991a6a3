"""Large objects across hosts: in signed pieces through the server, fetched once a host, and gone with their client."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import redis

from manycore import Cluster
from manycore.errors import MessageRefused, ObjectGone, ObjectStoreFull
from manycore.protocol import keys, pieces
from manycore.protocol.flat import flatten
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring
from manycore.worker.objects import WorkerObjects
from manycore.worker.strikes import HARD_GRACE_SECONDS
from tests.integration.conftest import Server
from tests.waiting import wait_until

MIB = 1 << 20
PUTTING = """
import os, sys
import numpy as np
from manycore import Cluster
cluster = Cluster()
ref = cluster.put(np.arange(1 << 18))
print(ref.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def big() -> Any:
    return np.arange(3 * MIB, dtype=np.float64)  # 24 MiB: more than two pieces


def sum_and_process(array: Any, _n: int = 0) -> tuple[float, bool, int]:
    return float(array.sum()), array.flags.writeable, os.getpid()


def objects_of(server: Server) -> list[bytes]:
    found: Any = server.client().keys("mc:obj:*")
    return list(found)


def sent_by(client: redis.Redis) -> int:
    """How many bytes the server has given out, since it started."""
    found: Any = client.info("stats")
    return int(found["total_net_output_bytes"])


def test_one_process_of_a_host_fetches_what_all_use(
    server: Server, start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any, tmp_path: Path
) -> None:
    start_worker(slots=2)
    start_worker(slots=1)  # another worker of this host
    cluster = connect()
    ref = cluster.put(big)
    before = sent_by(server.client())
    rows = cluster.batch(sum_and_process, [(ref, n) for n in range(60)], star=True).gather()
    assert {row[:2] for row in rows} == {(big.sum(), False)}
    assert big.nbytes < sent_by(server.client()) - before < 1.5 * big.nbytes
    assert len(list(tmp_path.glob("manycore-*-worker-*/[0-9a-f]*"))) == 1
    assert (ref.get() == big).all()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_time_limit_does_not_count_the_fetching_of_an_argument(
    pool: str,
    server: Server,
    start_worker: Callable[..., object],
    connect: Callable[..., Cluster],
    big: Any,
    tmp_path: Path,
) -> None:
    """Which may take as long as it likes: another process of the host fetches something, too, or the server is away."""
    start_worker("--pool", pool, slots=1)
    cluster = connect()
    ref = cluster.put(big)
    with turn_taken(tmp_path):
        batch = cluster.batch(sum_and_process, [(ref, 1)], star=True, timeout=0.5)
        wait_until(lambda: server.client().exists(keys.resume(batch.id)), "it begins, and waits for its turn")
        began = monotonic()
        wait_until(lambda: monotonic() - began > 0.5 + HARD_GRACE_SECONDS + 0.2, "its limit and the grace are over")
    assert [row[0] for row in batch.gather()] == [big.sum()]


def test_who_brings_something_and_stands_still_holds_up_nobody_for_ever(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any, tmp_path: Path
) -> None:
    start_worker(slots=1, connection_seconds="1")
    cluster = connect()
    with turn_taken(tmp_path):
        assert cluster.batch(sum_and_process, [(cluster.put(big), 1)], star=True).gather()[0][0] == big.sum()


@contextmanager
def turn_taken(place: Path) -> Iterator[None]:
    """As by another process of this host that brings an object."""
    (home,) = place.glob("manycore-*-worker-*/.alive")
    with home.with_name(".turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_items_that_share_a_value_have_it_sent_once(
    server: Server, start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any
) -> None:
    start_worker(slots=2)
    cluster = connect()
    rows = cluster.batch(sum_and_process, [(big, n) for n in range(40)], star=True).gather()
    assert {row[:2] for row in rows} == {(big.sum(), True)}
    stats: Any = server.client().info("stats")
    assert stats["total_net_input_bytes"] < 1.5 * big.nbytes
    wait_until(lambda: objects_of(server) == [], "it is freed with its batch")


def test_what_nobody_refers_to_is_freed(server: Server, connect: Callable[..., Cluster], big: Any) -> None:
    cluster = connect()
    ref, other = cluster.put(big), cluster.put(big[1:])
    assert len(objects_of(server)) == 2
    del ref
    gc.collect()
    wait_until(lambda: len(objects_of(server)) == 1, "the first is freed")
    cluster.shutdown()
    assert objects_of(server) == []
    with pytest.raises(ObjectGone):
        other.get()


@pytest.mark.slow
def test_what_is_referred_to_is_kept_past_its_ttl(
    server: Server, connect: Callable[..., Cluster], big: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "OBJECT_TTL_SECONDS", 4)
    ref = connect().put(big)
    client, key = server.client(), keys.object_pieces(ref.name)
    for _ in range(2):
        wait_until(lambda: client.pttl(key) < 3_500, "some of its time is over")
        wait_until(lambda: client.pttl(key) > 3_500, "it has got more")


def test_what_was_lost_says_so(
    server: Server, start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any
) -> None:
    start_worker()
    cluster = connect()
    ref = cluster.put(big)
    server.client().delete(*objects_of(server))
    with pytest.raises(ObjectGone, match="lives as long as its Ref"):
        cluster.submit(sum_and_process, ref).result(timeout=20)
    assert cluster.submit(abs, -1).result(timeout=20) == 1


def test_what_was_lost_can_be_put_again(server: Server, connect: Callable[..., Cluster], big: Any) -> None:
    cluster = connect()
    ref = cluster.put(big)
    server.client().flushdb()
    with pytest.raises(ObjectGone):
        ref.get()
    assert (cluster.put(big).get() == big).all()
    assert (ref.get() == big).all()


@pytest.mark.parametrize("field", ["0", "list"])
def test_what_was_changed_on_its_way_is_refused(server: Server, field: str) -> None:
    client, ring = server.client(), Keyring.parse(server.key)
    flat = flatten(np.zeros(MIB), "It", 1)
    pieces.store(client, ring, "a" * 32, flat, 60)
    assert b"".join(pieces.fetch(client, ring, "a" * 32, flat.size)) == b"".join(map(bytes, flat.pieces()))
    content: Any = client.hget(keys.object_pieces("a" * 32), field)
    client.hset(keys.object_pieces("a" * 32), field, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(MessageRefused):
        list(pieces.fetch(client, ring, "a" * 32, flat.size))


def test_one_object_cannot_pass_for_another(server: Server) -> None:
    client, ring = server.client(), Keyring.parse(server.key)
    flat = flatten(np.zeros(10), "It", 1)
    pieces.store(client, ring, "a" * 32, flat, 60)
    client.copy(keys.object_pieces("a" * 32), keys.object_pieces("b" * 32))
    client.expire(keys.object_pieces("b" * 32), 60)
    with pytest.raises(MessageRefused):
        list(pieces.fetch(client, ring, "b" * 32, flat.size))
    with pytest.raises(MessageRefused):
        list(pieces.fetch(client, ring, "a" * 32, flat.size + 1))


def test_who_makes_room_takes_an_object_from_nobody(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process brings to a host may push an object out just before it is mapped."""
    ring, flat = Keyring.parse(server.key), flatten(np.zeros(MIB), "It", 1)
    pieces.store(server.client(), ring, "a" * 32, flat, 60)
    objects = WorkerObjects(Settings(objects_folder=tmp_path), ring, server.client)
    home, has, alone = objects.home, objects.home.has, objects.home.alone

    def has_still(name: str) -> bool:
        found = has(name)
        if found:
            home.drop(name)
            monkeypatch.setattr(home, "has", has)
        return found

    @contextmanager
    def alone_until_then(seconds: float) -> Iterator[None]:
        with alone(seconds):
            yield
        home.drop("a" * 32)

    for name, step in (("alone", alone_until_then), ("alone", alone), ("has", has_still)):
        monkeypatch.setattr(home, name, step)
        assert objects.value("another", "a" * 32, flat.size, private=False).nbytes == 8 * MIB
        objects.let_go()
    home.remove()


def test_what_is_shared_unasked_needs_no_room_on_a_host(
    server: Server, start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any
) -> None:
    start_worker(objects_bytes=str(5 * MIB))
    cluster = connect()
    rows = cluster.batch(sum_and_process, [(big, n) for n in range(3)], star=True).gather()
    assert {row[:2] for row in rows} == {(big.sum(), True)}
    with pytest.raises(ObjectStoreFull):  # but who puts says how it is to be kept
        cluster.submit(sum_and_process, cluster.put(big)).result(timeout=20)


def test_a_host_whose_home_was_taken_away_goes_on(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any, tmp_path: Path
) -> None:
    start_worker()
    cluster = connect()
    ref = cluster.put(big)
    assert cluster.submit(sum_and_process, ref).result(timeout=20)[0] == big.sum()
    (home,) = tmp_path.glob("manycore-*-worker-*")
    shutil.rmtree(home)
    assert cluster.submit(sum_and_process, ref).result(timeout=20)[:2] == (big.sum(), False)
    assert {row[:2] for row in cluster.map(sum_and_process, [big] * 3)} == {(big.sum(), True)}


def test_a_killed_client_leaves_nothing_that_lasts(server: Server) -> None:
    env = os.environ | {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key}
    with subprocess.Popen(
        [sys.executable, "-c", PUTTING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        name = client.stdout.readline().decode().strip()
        client.send_signal(signal.SIGKILL)
    assert 0 < int(server.client().ttl(keys.object_pieces(name))) <= keys.OBJECT_TTL_SECONDS


def test_a_named_batch_keeps_what_it_was_passed(
    server: Server, start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any
) -> None:
    first = connect()
    batch = first.batch(sum_and_process, [(first.put(big), n) for n in range(6)], star=True, id="outlives")
    batch.detach(timeout=20)
    first.shutdown()
    gc.collect()
    start_worker()
    rows = connect().attach("outlives").gather()
    assert {row[:2] for row in rows} == {(big.sum(), False)}


@pytest.mark.slow
def test_the_same_content_is_the_same_input_in_every_run(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], big: Any
) -> None:
    start_worker()
    for _ in range(2):
        cluster = connect()
        batch = cluster.batch(sum_and_process, [(cluster.put(big), n) for n in range(3)], star=True, id="again")
        assert len(batch.gather()) == 3


@pytest.mark.slow
def test_more_than_a_host_keeps_is_fetched_again(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], tmp_path: Path
) -> None:
    start_worker(objects_bytes=str(5 * MIB))
    cluster = connect()
    refs = [cluster.put(np.full(MIB // 4, n)) for n in range(6)]  # of 2 MiB each
    for _ in range(2):
        assert [row[0] for row in cluster.map(sum_and_process, refs)] == [n * MIB / 4 for n in range(6)]
    kept = [file.stat().st_size for file in tmp_path.glob("manycore-*-worker-*/*")]
    assert 0 < sum(kept) <= 5 * MIB
