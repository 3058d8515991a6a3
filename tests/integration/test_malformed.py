"""No message stops a worker: each kind is thrown at one that is idle and at one that is busy, and it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, cast

import pytest
import redis

from manycore import Cluster
from manycore.local.server import server_binary
from manycore.protocol import keys, packing
from manycore.protocol.signing import generate_key
from manycore.quarantine.refused import MAX_ENTRIES, MAX_ENTRY_BYTES, RefusedMessages
from ops.chaos.malformed import CONTROL, FORGERY, KINDS, MIB, Forge, Kind, changed, raw
from tests.functions import busy, square
from tests.integration.conftest import ROOT
from tests.probe import Probe
from tests.waiting import wait_until


@dataclass
class Target:
    """A worker to throw messages at, and a client that it must go on serving."""

    cluster: Cluster
    process: subprocess.Popen[bytes]
    redis: redis.Redis
    forge: Forge
    log: Path

    def throw(self, *messages: Any) -> None:
        self.redis.rpush("cpu", *map(raw, messages))  # at the end that is taken first

    def refused(self) -> int:
        return RefusedMessages(self.redis).counts().get("cpu", 0)

    def goes_on(self) -> None:
        """The worker lives, does five good tasks within 5 s, and holds nothing."""
        futures = [self.cluster.submit(square, n) for n in range(5)]
        assert [future.result(timeout=5) for future in futures] == [0, 1, 4, 9, 16]
        wait_until(lambda: not self.redis.hlen("manycore-unacked"), "nothing is unacknowledged", seconds=5)
        assert not self.redis.exists("manycore-unacked-index", "cpu")
        assert self.process.poll() is None

    def memory(self) -> int:
        """The bytes that the worker and its children hold."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in [self.process.pid, *listed]]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("t")
    socket, key, log = folder / "s", generate_key(), folder / "worker.log"
    url = f"unix://{socket}?db=0"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([server_binary(), *options], stdout=subprocess.DEVNULL)
    wait_until(socket.exists, "the server is there")
    settings = {"MANYCORE_URL": url, "MANYCORE_KEY": key, "MANYCORE_RUN_FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "manycore.worker", "--slots", "2", "--name", "t@t", "--loglevel", "INFO"]
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env=os.environ | settings, stdout=output, stderr=output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANYCORE_KEY", key)
        cluster = Cluster(url)
        assert cluster.submit(square, 2).result(timeout=30) == 4
        yield Target(cluster, worker, redis.Redis.from_url(url), Forge(key), log)
        Probe(cluster).close_now()  # at once: a worker that did not survive would never finish what it has
    for process in (worker, server):
        process.kill()
        process.wait()


@pytest.mark.parametrize("running", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_malformed_message_is_refused_and_the_worker_goes_on(target: Target, kind: Kind, running: bool) -> None:
    message = kind(target.forge)
    before, memory = target.refused(), target.memory()
    under_way = target.cluster.submit(busy, 0.1) if running else None
    target.throw(message)
    wait_until(lambda: target.refused() > before, "it is refused")
    grown = target.memory() - memory
    target.goes_on()
    assert target.refused() == before + 1  # once: nothing is requeued
    assert grown < 50 * MIB
    assert under_way is None or under_way.result(timeout=5) == 0.1


def test_the_log_cannot_be_forged(target: Target) -> None:
    target.throw(target.forge.message(id=FORGERY), target.forge.message(task=FORGERY))
    shown = target.forge.chunk("shown")
    shown["headers"] |= dict.fromkeys(["argsrepr", "kwargsrepr", "shadow", "origin"], FORGERY)
    target.throw(shown)
    target.goes_on()
    log = target.log.read_text()
    assert "forged" in log
    assert "\x1b" not in log
    assert not [line for line in log.splitlines() if line.startswith("[2026-01-01")]


def test_what_is_refused_is_kept_with_its_reason(target: Target) -> None:
    target.throw(target.forge.message(b"unsigned", id="whose"))
    target.goes_on()
    kept = next(RefusedMessages(target.redis).newest())
    assert (kept.queue, kept.claimed_id) == ("cpu", "whose")
    assert "not one of manycore's messages" in kept.reason
    assert kept.sample.startswith(b"{")
    assert kept.size > len(kept.sample) - 1
    assert abs(kept.when - time()) < 60


def test_the_quarantine_is_bounded_and_ends(target: Target) -> None:
    target.throw(*[b"x" * 2000] * (MAX_ENTRIES + 50))
    target.goes_on()
    assert target.redis.xlen(keys.QUARANTINE) == MAX_ENTRIES
    assert (target.redis.memory_usage(keys.QUARANTINE, samples=0) or 0) < MAX_ENTRIES * MAX_ENTRY_BYTES
    for key in (keys.QUARANTINE, keys.QUARANTINE_COUNTS):
        assert 0 < target.redis.ttl(key) <= keys.QUARANTINE_TTL_SECONDS


@pytest.mark.parametrize("broken", ["headers", "properties", "content-type", "body"])
def test_the_sender_of_a_chunk_is_told(target: Target, broken: str) -> None:
    """A genuine chunk in a broken envelope, and a broken chunk that names its batch: each has a terminal outcome."""
    batch = f"told-{broken}"
    message = target.forge.chunk(batch)
    message[broken] = {"headers": None, "properties": 3, "content-type": "text/plain", "body": "AAAA"}[broken]
    target.throw(message)
    stream = keys.outcomes(batch)
    wait_until(lambda: target.redis.exists(stream), "the batch has an outcome")
    assert 0 < target.redis.ttl(stream) <= 86_400
    target.goes_on()
    target.redis.delete(stream)


def test_a_refusal_does_not_shorten_the_life_of_a_batch(target: Target) -> None:
    stream = keys.outcomes("long")
    target.redis.xadd(stream, {"x": "y"})
    target.redis.expire(stream, 80_000)
    target.throw(target.forge.wrap(b"unsigned", id="long.0123456789ab"))
    wait_until(lambda: target.redis.xlen(stream) == 2, "the batch is told")
    assert target.redis.ttl(stream) > 70_000


def test_a_caller_whose_message_is_broken_is_told(target: Target) -> None:
    """From end to end: the message is changed while it waits behind a worker that is busy."""
    held = [target.cluster.submit(busy, 0.4) for _ in range(2)]
    wait_until(lambda: target.redis.hlen("manycore-unacked") >= 1 and not target.redis.exists("cpu"), "it is busy")
    message = target.forge.chunk("swapped")
    message["headers"]["task"] = "celery.ping"
    target.throw(message)
    stream = keys.outcomes("swapped")
    wait_until(lambda: target.redis.exists(stream), "the batch has an outcome")
    assert [future.result(timeout=10) for future in held] == [0.4, 0.4]
    target.goes_on()


def test_copies_of_a_message_run_beside_each_other(target: Target) -> None:
    target.cluster.submit(busy, 0).result(timeout=5)  # from now on its function is in Redis
    message = target.forge.chunk("copies", packing.pack([0.5]), shipped(target))
    copy = changed(message, "headers", "redelivered", to=True)
    copy["properties"]["delivery_info"]["redelivered"] = True
    before = target.refused()
    target.throw(message, copy)
    wait_until(lambda: target.redis.hlen("manycore-unacked") == 2, "each has a lease of its own")
    target.goes_on()
    assert target.redis.xlen(keys.outcomes("copies")) >= 2
    assert target.refused() == before


def shipped(target: Target) -> str:
    """The digest of `busy` as it is in Redis."""
    return str(Probe(target.cluster).program(busy).digest)


def test_what_cannot_be_restored_is_put_aside(target: Target) -> None:
    good = raw(target.forge.chunk("restored"))
    entries = {"t1": b"not JSON", "t2": b"3", "t3": b'[{"headers": null, "properties": {}}, "", "cpu"]'}
    entries["t4"] = json.dumps([json.loads(good), "", "cpu"]).encode()
    target.redis.hset("manycore-unacked", mapping=cast(Any, entries))
    target.redis.zadd("manycore-unacked-index", dict.fromkeys(entries, 1.0))
    wait_until(lambda: RefusedMessages(target.redis).counts().get("manycore-unacked") == 3, "three are put aside")
    wait_until(lambda: target.redis.exists(keys.outcomes("restored")), "the good one is restored, and answered")
    target.goes_on()
    target.redis.delete(keys.outcomes("restored"))


@pytest.mark.parametrize("kind", CONTROL.values(), ids=CONTROL.keys())
def test_remote_control_can_be_malformed_too(target: Target, kind: Kind) -> None:
    message = raw(kind(target.forge))
    memory = target.memory()
    assert target.redis.publish("/0.celery.pidbox", message) >= 1
    target.goes_on()
    assert target.memory() - memory < 50 * MIB
    assert target.cluster._session is not None


def test_no_key_is_without_an_end(target: Target) -> None:
    kept = {b"manycore-unacked-mutex"}
    for key in cast(list[bytes], target.redis.keys("mc:*")):
        assert key in kept or target.redis.ttl(key) > 0, key
