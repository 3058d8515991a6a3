"""No message stops a worker: each kind is thrown at one that is idle and at one that is busy, and it goes on."""

from __future__ import annotations

import base64
import bz2
import json
import os
import pickle
import secrets
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any, cast

import pytest
import redis

from manycore import Cluster, codec, keys, packing
from manycore.codec import CONTENT_TYPE, Keyring, generate_key
from manycore.local import server_binary
from manycore.message import Chunk, ItemOptions, seal_chunk
from manycore.worker.quarantine import MAX_ENTRIES, MAX_ENTRY_BYTES, Quarantine
from tests.functions import busy, square
from tests.integration.conftest import ROOT
from tests.waiting import wait_until

MIB = 1024 * 1024
FORGERY = "x\n[2026-01-01 00:00:00,000: ERROR/MainProcess] forged\x1b[31m"


class Forge:
    """Makes messages: a good one that is not sent, and what can be done to it."""

    def __init__(self, key: str) -> None:
        self.ring = Keyring.parse(key)

    def message(self, body: bytes | None = None, **headers: Any) -> dict[str, Any]:
        """A call of `manycore.call`, signed unless `body` says otherwise; `headers` are changed after that."""
        task_id = headers.get("id", secrets.token_hex(8))
        options = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        call: Any = ((), {}, options | {"manycore": ("manycore.call", task_id)})
        return self.wrap(self.sealed(call) if body is None else body, **{"id": task_id} | headers)

    def call(self, value: Any, **headers: Any) -> dict[str, Any]:
        return self.wrap(self.sealed(value), **headers)

    def embedding(self, **options: Any) -> dict[str, Any]:
        """A signed call with these in place of Celery's own options."""
        return self.call(((), {}, {"manycore": ("manycore.call", "an-id")} | options), id="an-id")

    def sealed(self, value: Any) -> bytes:
        return self.ring.seal(codec.CALL, None, pickle.dumps(value))

    def wrap(self, body: bytes, **headers: Any) -> dict[str, Any]:
        return {
            "body": base64.b64encode(body).decode(),
            "content-type": CONTENT_TYPE,
            "content-encoding": "binary",
            "headers": {"lang": "py", "task": "manycore.call", "id": "an-id", "retries": 0} | headers,
            "properties": {
                "delivery_tag": secrets.token_hex(16),
                "delivery_info": {"exchange": "", "routing_key": "cpu"},
                "body_encoding": "base64",
                "delivery_mode": 2,
                "priority": 0,
            },
        }

    def chunk(self, batch: str, payload: bytes = b"", function: str | None = None) -> dict[str, Any]:
        """A genuine chunk of one item that nobody submitted."""
        name = f"{batch}.{secrets.token_hex(6)}"
        chunk = Chunk(name, batch, "manycore.call", function, ItemOptions(), 0, 0, 1, None, b"")
        return self.wrap(seal_chunk(self.ring, chunk, payload), id=name)


def changed(message: dict[str, Any], *path: str, to: Any = ...) -> dict[str, Any]:
    """The message with the value at `path` replaced, or left out."""
    message = deepcopy(message)
    place = message
    for name in path[:-1]:
        place = place[name]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return message


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def bomb() -> bytes:
    """1 GiB of zeros in less than 2 KiB: bz2 takes streams one after another."""
    return bz2.compress(bytes(64 * MIB), 9) * 16


Kind = Callable[[Forge], Any]
KINDS: dict[str, Kind] = {
    "bytes that are not text": lambda f: b"\xff\x00\xfe garbage",
    "text that is not JSON": lambda f: b"{not json",
    "an empty string": lambda f: b"",
    "deeply nested JSON": lambda f: b"[" * 200_000,
    "a scalar": lambda f: b"42",
    "null": lambda f: b"null",
    "a list": lambda f: b"[1, 2]",
    "an empty object": lambda f: b"{}",
    "an unknown kombu type": lambda f: changed(f.message(), "headers", "x", to={"__type__": "no", "__value__": 1}),
    "no body": lambda f: changed(f.message(), "body"),
    "a body of another type": lambda f: changed(f.message(), "body", to={"a": 1}),
    "bad base64": lambda f: changed(f.message(), "body", to="a"),
    "another body_encoding": lambda f: changed(f.message(), "properties", "body_encoding", to="rot13"),
    "no properties": lambda f: changed(f.message(), "properties"),
    "properties are a list": lambda f: changed(f.message(), "properties", to=[1]),
    "no delivery_tag": lambda f: changed(f.message(), "properties", "delivery_tag"),
    "delivery_tag is a dict": lambda f: changed(f.message(), "properties", "delivery_tag", to={"a": 1}),
    "delivery_tag with lone surrogates": lambda f: changed(f.message(), "properties", "delivery_tag", to="\ud800"),
    "no delivery_info": lambda f: changed(f.message(), "properties", "delivery_info"),
    "delivery_info is a number": lambda f: changed(f.message(), "properties", "delivery_info", to=7),
    "priority is infinite": lambda f: changed(f.message(), "properties", "priority", to=float("inf")),
    "correlation_id is a dict": lambda f: changed(f.message(), "properties", "correlation_id", to={}),
    "no headers": lambda f: changed(f.message(), "headers"),
    "headers are null": lambda f: changed(f.message(), "headers", to=None),
    "headers are a list": lambda f: changed(f.message(), "headers", to=["task"]),
    "no task": lambda f: changed(f.message(), "headers", "task"),
    "task is null": lambda f: f.message(task=None),
    "task is a list": lambda f: f.message(task=["manycore.call"]),
    "task is a dict": lambda f: f.message(task={}),
    "task is a number": lambda f: f.message(task=3),
    "no id": lambda f: changed(f.message(), "headers", "id"),
    "id is a list": lambda f: f.wrap(b"x", id=[1]),
    "an id that forges a line": lambda f: f.message(id=FORGERY),
    "a task that forges a line": lambda f: f.message(task=FORGERY),
    "unknown task": lambda f: f.call(((), {}, {"manycore": ("no.such", "i")}), task="no.such", id="i"),
    "unknown task, unsigned": lambda f: f.message(b"x", task="no.such"),
    "another's id": lambda f: changed(f.message(), "headers", "id", to="another"),
    "an unsigned object": lambda f: f.message(b'{"a":1}'),
    "unsigned JSON": lambda f: f.message(b"[[], {}, {}]"),
    "unsigned pickle": lambda f: f.message(pickle.dumps(((), {}, {}))),
    "a body signed with another key": lambda f: f.message(Keyring.parse("k" * 32).seal(codec.CALL, None, b"N.")),
    "content-type pickle": lambda f: changed(
        f.message(pickle.dumps(1)), "content-type", to="application/x-python-serialize"
    ),
    "content-type data": lambda f: changed(f.message(), "content-type", to="application/data"),
    "content-type text": lambda f: changed(f.message(), "content-type", to="text/plain"),
    "content-type is a list": lambda f: changed(f.message(), "content-type", to=[]),
    "content-encoding nonsense": lambda f: changed(f.message(), "content-encoding", to="klingon"),
    "a bz2 bomb": lambda f: f.message(bomb(), compression="application/x-bz2"),
    "gzip": lambda f: f.message(zlib.compress(f.sealed(1)), compression="application/x-gzip"),
    "an unknown compression": lambda f: f.message(compression="application/x-none"),
    "compression is a list": lambda f: f.message(compression=[1]),
    "a message that is too large": lambda f: f.message(f.sealed(bytes(3 * MIB))),
    "a body that is too large": lambda f: f.message(f.sealed(bytes(2 * MIB + 20_000))),
    "a truncated body": lambda f: f.message(f.sealed(((), {}, {}))[:-3]),
    "a body cut in its prefix": lambda f: f.message(f.sealed(((), {}, {}))[:20]),
    "a flipped bit in the body": lambda f: f.message(flipped(f.sealed(((), {}, {})), -2)),
    "a flipped bit in the digest": lambda f: f.message(flipped(f.sealed(((), {}, {})), 12)),
    "a signed call that is a number": lambda f: f.call(7),
    "a signed call that is an object": lambda f: f.call({"a": 1}),
    "a signed call of two": lambda f: f.call(((), {})),
    "a signed call of other types": lambda f: f.call(("args", [1], 3)),
    "a signed call that cannot be rebuilt": lambda f: f.message(f.ring.seal(codec.CALL, None, b"cno_module\nx\n.")),
    "a signed chunk that lacks all": lambda f: f.wrap(f.ring.seal(codec.CHUNK, {"id": 1}, b"")),
    "a signed chunk that is a list": lambda f: f.wrap(f.ring.seal(codec.CHUNK, [1], b"")),
    "callbacks are text": lambda f: f.embedding(callbacks="x"),
    "callbacks are numbers": lambda f: f.embedding(callbacks=[1]),
    "a chord is a list": lambda f: f.embedding(chord=[1]),
    "a chain is a dict": lambda f: f.embedding(chain={"a": 1}),
    "a group is a list": lambda f: f.message(group=[1]),
    "callbacks in the headers": lambda f: f.message(callbacks=[{"task": "manycore.call", "args": [1]}]),
    "args in the headers": lambda f: f.message(args=[1]),
    "timelimit of text": lambda f: f.message(timelimit=["a", "b"]),
    "timelimit is infinite": lambda f: f.message(timelimit=[float("inf"), None]),
    "timelimit of three": lambda f: f.message(timelimit=[1, 2, 3]),
    "eta nonsense": lambda f: f.message(eta="soon"),
    "eta is a list": lambda f: f.message(eta=[1]),
    "eta before time": lambda f: f.message(eta="0001-01-01T00:00:00"),
    "expires nonsense": lambda f: f.message(expires={"at": 1}),
    "expires too large": lambda f: f.message(expires=1e400),
    "retries is text": lambda f: f.message(retries="x"),
    "stamps of a wrong type": lambda f: f.message(stamped_headers=[[1]], stamps=3),
}


def raw(kind: Any) -> bytes:
    return kind if isinstance(kind, bytes) else json.dumps(kind).encode()


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
        return Quarantine(self.redis).counts().get("cpu", 0)

    def goes_on(self) -> None:
        """The worker lives, does five good tasks within 5 s, and holds nothing."""
        started = monotonic()
        futures = [self.cluster.submit(square, n) for n in range(5)]
        assert [future.result(timeout=5) for future in futures] == [0, 1, 4, 9, 16]
        assert monotonic() - started < 5
        wait_until(lambda: not self.redis.hlen("unacked"), "nothing is unacknowledged", seconds=5)
        assert not self.redis.exists("unacked_index", "cpu")
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
        cluster._session.close()  # at once: a worker that did not survive would never finish what it has
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
    kept = next(Quarantine(target.redis).newest())
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
    wait_until(lambda: target.redis.hlen("unacked") >= 1 and not target.redis.exists("cpu"), "it is busy")
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
    wait_until(lambda: target.redis.hlen("unacked") == 2, "each has a lease of its own")
    target.goes_on()
    assert target.redis.xlen(keys.outcomes("copies")) >= 2
    assert target.refused() == before


def shipped(target: Target) -> str:
    """The digest of `busy` as it is in Redis."""
    return str(target.cluster._session.shipper.program(busy).digest)


def test_what_cannot_be_restored_is_put_aside(target: Target) -> None:
    good = raw(target.forge.chunk("restored"))
    entries = {"t1": b"not JSON", "t2": b"3", "t3": b'[{"headers": null, "properties": {}}, "", "cpu"]'}
    entries["t4"] = json.dumps([json.loads(good), "", "cpu"]).encode()
    target.redis.hset("unacked", mapping=cast(Any, entries))
    target.redis.zadd("unacked_index", dict.fromkeys(entries, 1.0))
    wait_until(lambda: Quarantine(target.redis).counts().get("unacked") == 3, "three are put aside")
    wait_until(lambda: target.redis.exists(keys.outcomes("restored")), "the good one is restored, and answered")
    target.goes_on()
    target.redis.delete(keys.outcomes("restored"))


CONTROL = {
    "not JSON": b"\xff",
    "a scalar": b"3",
    "deeply nested": b"[" * 200_000,
    "no properties": b"{}",
    "a bomb": lambda f: f.message(bomb(), compression="application/x-bz2"),
    "a tag of a wrong type": lambda f: changed(f.message(b"[", task="x"), "properties", "delivery_tag", to={"a": 1}),
}


@pytest.mark.parametrize("kind", CONTROL.values(), ids=CONTROL.keys())
def test_remote_control_can_be_malformed_too(target: Target, kind: Any) -> None:
    message = kind if isinstance(kind, bytes) else raw(kind(target.forge))
    memory = target.memory()
    assert target.redis.publish("/0.celery.pidbox", message) >= 1
    target.goes_on()
    assert target.memory() - memory < 50 * MIB
    assert target.cluster._session is not None


def test_no_key_is_without_an_end(target: Target) -> None:
    kept = {b"unacked_mutex"}
    for key in cast(list[bytes], target.redis.keys("mc:*")):
        assert key in kept or target.redis.ttl(key) > 0, key
