"""What others leave under our keys: nobody hangs, no thread ends, no worker goes down; it concerns that batch alone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from manycore import Batch, Cluster
from manycore.errors import ManycoreError, WorkerCrashed
from manycore.metrics.collector import ClusterCollector
from manycore.protocol import keys
from manycore.protocol.store import Store
from manycore.quarantine import Quarantine
from tests.functions import hold_while, leave, square
from tests.integration.conftest import Server, serving, workers_of
from tests.probe import Probe
from tests.strange import NONE_OF_OURS
from tests.waiting import wait_until

Plant = Callable[[Any, str], object]
SETTINGS = {"audit_seconds": "0.5", "lease_seconds": "2"}


def of_another_type(client: Any, key: str) -> None:
    """A list where nothing of ours is one."""
    pipe = client.pipeline(transaction=True)  # a worker may write it at any moment
    pipe.delete(key)
    pipe.rpush(key, b"\xff")
    pipe.expire(key, 600)
    pipe.execute()


def that_cannot_be_read(client: Any, key: str) -> None:
    _fill(client, key, b"\xff\x00{[")


def that_is_huge(client: Any, key: str) -> None:
    _fill(client, key, b"9" * 5_000_000)


def of_another_version(client: Any, key: str) -> None:
    _fill(client, key, b'{"version": 99, "slots": -1, "count": "many"}')


def _fill(client: Any, key: str, value: bytes) -> None:
    """Put a value, and beside it itself as a name, into whatever kind of key it is."""
    kind = keys.type_of(key)
    if kind == b"hash":
        for field in (*client.hkeys(key), value, "cancelled", "0"):
            if field != "cancelled" or key.startswith("mc:batch:"):
                client.hset(key, field, value)
    elif kind == b"zset":
        client.zadd(key, {value: 1e18})
    elif kind == b"stream":
        for field in ("o", "k", "r", value):
            client.xadd(key, {field: value})
    else:
        client.set(key, value)
    client.expire(key, 600)


JUNK = [
    of_another_type,
    that_cannot_be_read,
    pytest.param(that_is_huge, marks=pytest.mark.slow),
    pytest.param(of_another_version, marks=pytest.mark.slow),
]


@dataclass(frozen=True)
class Scene:
    """A server, a worker of two slots, and a client."""

    server: Server
    worker: subprocess.Popen[bytes]
    cluster: Cluster

    @property
    def client(self) -> Any:
        return self.server.client()

    def goes_on(self) -> None:
        """Worker and client live, and serve others."""
        assert [self.cluster.submit(square, n).result(timeout=20) for n in range(2)] == [0, 1]
        assert list(self.cluster.map(square, range(10), timeout=20)) == [n * n for n in range(10)]
        assert len(self.cluster.batches()) > 0
        wait_until(lambda: len(Probe(self.cluster).workers()) == 1, "the worker is known")
        assert self.worker.poll() is None
        assert Probe(self.cluster).threads_live

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.worker.pid}/task/{self.worker.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("junk")
    with serving(home) as server, workers_of(server, home) as start_worker, pytest.MonkeyPatch.context() as patch:
        for name, value in ({"key": server.key} | SETTINGS).items():
            patch.setenv(f"MANYCORE_{name.upper()}", value)
        cluster = Cluster(server.url)
        yield Scene(server, start_worker(slots=2, **SETTINGS), cluster)
        Probe(cluster).close_now()


@pytest.fixture
def running(scene: Scene, tmp_path: Path) -> Iterator[Batch]:
    """A named batch whose items run until the folder `slow` is gone."""
    (tmp_path / "slow").touch()
    flags = {"deadly": str(tmp_path / "deadly"), "slow": str(tmp_path / "slow")}
    batch = scene.cluster.batch(hold_while, range(60), id=uuid4().hex, kwargs=flags)
    wait_until(lambda: scene.client.exists(keys.resume(batch.id)), "it runs")
    yield batch
    (tmp_path / "slow").unlink(missing_ok=True)
    batch.delete()
    wait_until(lambda: not scene.client.keys(f"mc:*{batch.id}*"), "nothing of it is left")


OWN = ["record", "outcomes", "chunks", "resume", "strikes"]


def of_the_batch(scene: Scene, batch: Batch) -> dict[str, str]:
    """The keys that a running batch concerns."""
    client = scene.client
    chunk = next(client.scan_iter(f"mc:{batch.id}:in:*")).decode()
    held = [key.decode() for key in client.scan_iter("mc:holders:*") if client.sismember(key, batch.id)]
    function = keys.reference(held[0].rpartition(":")[2])
    own = dict(zip(OWN, keys.owned_by(batch.id), strict=True))
    return own | {"account": keys.account(batch.id), "payload": chunk, "function": function}


@pytest.mark.parametrize("plant", JUNK)
@pytest.mark.parametrize("kind", [*OWN, "account", "payload", "function"])
def test_junk_concerns_its_batch_alone(scene: Scene, running: Batch, tmp_path: Path, kind: str, plant: Plant) -> None:
    """While it runs; then a process is killed, so that what is kept for a redelivery is read."""
    plant(scene.client, of_the_batch(scene, running)[kind])
    os.kill(scene.children()[-1], signal.SIGKILL)
    (tmp_path / "slow").unlink()
    assert running.wait(timeout=30)
    try:
        results = running.gather(return_exceptions=True)
    except ManycoreError as exc:
        results = [exc]
    wrong = [result for number, result in enumerate(results) if result != number]
    assert all(isinstance(error, ManycoreError) for error in wrong)
    assert not wrong or kind in ("record", "payload", "function"), "what is lost there can be had again"
    scene.goes_on()


def shared(scene: Scene) -> dict[str, str]:
    """The keys that concern all."""
    client = scene.client
    return {
        "workers": keys.WORKERS,
        "accounts": keys.ACCOUNTS,
        "worker": next(client.scan_iter("mc:worker:*")).decode(),
        "detached": keys.DETACHED,
        "watch": keys.WATCH,
        "quarantine": keys.QUARANTINE,
        "counts": keys.QUARANTINE_COUNTS,
        "poison": keys.QUARANTINE_ITEMS,
        "control": next(client.scan_iter("mc:session-*:out")).decode(),
        "submits": Probe(scene.cluster).submit_stream,
    }


SHARED = ["workers", "accounts", "worker", "detached", "watch", "quarantine", "counts", "poison", "control", "submits"]


@pytest.mark.slow
@pytest.mark.parametrize("plant", JUNK)
@pytest.mark.parametrize("kind", SHARED)
def test_junk_that_concerns_all_is_got_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str, plant: Plant
) -> None:
    scene.goes_on()
    plant(scene.client, shared(scene)[kind])
    batch = scene.cluster.batch(leave, range(4), id=uuid4().hex, kwargs={"at": 2, "how": "kill"})
    assert batch.wait(timeout=30)
    results = batch.gather(return_exceptions=True)
    assert [result for result in results if not isinstance(result, WorkerCrashed)] == [0, 1, 3]
    batch.detach()
    wait_until(lambda: not scene.client.zscore(keys.DETACHED, batch.id), "a worker has seen to it")
    monkeypatch.setenv("MANYCORE_KEY", scene.server.key)
    with Quarantine(scene.server.url) as quarantine:
        assert quarantine.total() >= len(quarantine.newest()) > 0
        assert quarantine.counts()["cpu"] > 0
        assert all(isinstance(count, int) for count in quarantine.refused_counts().values())
        quarantine.purge()
    batch.delete()
    scene.goes_on()


@pytest.mark.parametrize("text", [*NONE_OF_OURS, b"[" * 100_000], ids=lambda text: text[:9].decode())
def test_numbers_that_none_of_us_writes_keep_nobody_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    """In an account, in the index of the quarantine and in the record of a worker: who reads all goes on."""
    client, name = scene.client, uuid4().hex
    record = client.hgetall(next(client.scan_iter("mc:worker:test0*")))
    pipe = client.pipeline()
    pipe.hset(keys.account(name), mapping=dict.fromkeys((b"started", b"total", b"s:" + text, b"at:" + text), text))
    pipe.zadd(keys.ACCOUNTS, {keys.account(name): 1e10})
    pipe.hset(keys.QUARANTINE_ITEMS, name, b'[1, %s, "cpu"]' % text)
    pipe.hset(keys.worker(name), mapping=record | {b"objects": b'["home", %s, 1]' % text, b"busy": text})
    pipe.zadd(keys.WORKERS, {name: 1e10})
    pipe.execute()
    monkeypatch.setenv("MANYCORE_KEY", scene.server.key)
    try:
        with Cluster(scene.server.url) as cluster, Quarantine(scene.server.url) as quarantine:
            assert cluster.submit(square, 3).result(timeout=20) == 9
            assert name in {batch.id for batch in cluster.batches()}
            assert isinstance(quarantine.newest(), list)
        told = {metric.name for metric in ClusterCollector(client).collect()}
        assert "manycore_redis_round_trip_seconds" in told, "the last one, so all were told"
        scene.goes_on()
    finally:
        client.unlink(keys.account(name), keys.worker(name), keys.QUARANTINE_ITEMS)
        client.zrem(keys.WORKERS, name), client.zrem(keys.ACCOUNTS, keys.account(name))


def test_what_is_of_the_right_type_is_not_taken_away(scene: Scene) -> None:
    """Not even by a command that is wrong, and never what is not ours."""
    store: Any = Store.from_url(scene.server.url)
    store.hset("mc:batch:right", "a", 1), store.rpush("theirs", 1)
    for key in ("mc:batch:right", "theirs"):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            store.get(key)
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            store.pipeline(transaction=False).get("absent").get(key).execute()
        assert store.exists(key)
    store.delete("mc:batch:right", "theirs")


def test_of_several_commands_and_keys_those_that_met_junk_are_sent_again(scene: Scene) -> None:
    store: Any = Store.from_url(scene.server.url)
    store.xadd("mc:good:out", {"a": "b"}), store.set("mc:bad:out", "junk"), store.set("mc:bad:strikes", "junk")
    assert [name for name, _ in store.xread({"mc:bad:out": "0-0", "mc:good:out": "0-0"})] == [b"mc:good:out"]
    pipe = store.pipeline(transaction=False)
    assert pipe.incr("n").hincrby("mc:bad:strikes", "3", 1).incr("n").execute() == [1, 1, 2]
    store.hset("mc:bad:strikes", "3", "junk")
    assert store.hincrby("mc:bad:strikes", "3", 1) == 1
    store.delete("n", "mc:good:out", "mc:bad:strikes")
