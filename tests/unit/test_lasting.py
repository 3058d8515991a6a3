"""How long a large object lives: as long as its `Ref`, or a named batch that needs it, whatever comes in between."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import redis

from manycore.client import objects as client_objects
from manycore.client.objects import ASIDE_BYTES, Objects
from manycore.client.passage import Cut
from manycore.client.sender import Sender
from manycore.client.worth import SHARED_BYTES
from manycore.protocol import keys
from manycore.protocol.custody import Custody
from manycore.protocol.home import Home
from manycore.protocol.packing import Run
from manycore.protocol.refs import Ref, noted
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring, generate_key
from tests.lanes import OPTIONS, PROGRAM, ready_source

LONG = 86_400


class Server:
    """Keeps TTLs, and records of batches; also its own pipeline."""

    def __init__(self) -> None:
        self.ttls: dict[str, int] = {}
        self.batches: set[str] = set()
        self.away = False
        self._queued: list[Callable[[], object]] = []

    def pipeline(self, **_: object) -> Server:
        self._queued.clear()
        return self

    def hset(self, *_: object) -> None: ...

    def expire(self, key: str, seconds: int) -> None:
        self._queued.append(lambda: self.ttls.update({key: seconds}))

    def exists(self, key: str) -> None:
        self._queued.append(lambda: key in map(keys.batch, self.batches))

    def unlink(self, *names: str) -> None:
        for name in names:
            self.ttls.pop(name, None)

    def execute(self) -> list[object]:
        if self.away:
            raise redis.ConnectionError
        return [step() for step in self._queued]

    def ttl(self, ref: Ref[Any]) -> int | None:
        return self.ttls.get(keys.object_pieces(ref.name))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(autouse=True)
def each_look_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=10 * LONG)
    monkeypatch.setattr(client_objects, "monotonic", lambda: next(clock))


def objects_of(server: Any, home: Home | None = None, settings: Settings | None = None) -> Objects:
    return Objects(home, server, Keyring.parse(generate_key()), settings or Settings(), "here")


def test_what_a_named_batch_used_is_renewed_as_long_as_it_is_held(server: Server) -> None:
    objects = objects_of(server)
    ref, other = objects.put(b"used"), objects.put(b"held")
    server.batches = {"b"}
    objects.keep_long([ref], "b")
    for _ in range(2):
        server.ttls.clear()
        objects.refresh()
        assert (server.ttl(ref), server.ttl(other)) == (LONG, keys.OBJECT_TTL_SECONDS)


def test_each_batch_that_needs_it_gives_it_its_whole_ttl(server: Server) -> None:
    objects = objects_of(server)
    ref = objects.put(b"kept")
    for batch in ("first", "second"):
        server.ttls.clear()
        objects.keep_long([ref], batch)
        assert server.ttl(ref) == LONG


def test_what_stands_in_an_object_is_kept_with_it(server: Server) -> None:
    """Also by who looks after the batch once its client is gone: a chunk names all that it needs."""
    objects = objects_of(server)
    inmost = objects.put(b"inmost")
    middle = objects.put([inmost])
    outer = objects.put([middle])
    lane: Any = SimpleNamespace(id="b", ephemeral=False, record=SimpleNamespace(mark=""), source=ready_source(1))
    unused: Any = None
    parcel = Sender(unused, unused, unused, Settings()).parcel(
        lane, Cut(0, PROGRAM, OPTIONS, [outer]), Run(0, 1, b"", (outer,))
    )
    objects.keep_long(parcel.refs, "b")
    assert [server.ttl(ref) for ref in (outer, middle, inmost)] == [LONG] * 3
    named = {keys.object_pieces(ref.name) for ref in (outer, middle, inmost)}
    assert named <= Custody.of([parcel], 1).keys_in_use("b")


def test_a_server_that_was_away_as_a_batch_came_to_need_it_is_told_again(server: Server) -> None:
    objects = objects_of(server)
    ref = objects.put(b"kept")
    server.away = True
    with pytest.raises(redis.ConnectionError):
        objects.keep_long([ref], "b")
    server.away = False
    objects.keep_long([ref], "b")
    assert server.ttl(ref) == LONG


def test_a_short_ttl_of_batches_takes_nothing_from_what_is_held(server: Server) -> None:
    objects = objects_of(server, settings=Settings(batch_ttl_seconds=60))
    ref = objects.put(b"held")
    objects.keep_long([ref], "b")
    assert server.ttl(ref) == keys.OBJECT_TTL_SECONDS


def test_once_its_batches_have_had_their_ttl_it_is_kept_as_any_other(server: Server) -> None:
    objects = objects_of(server)
    ref = objects.put(b"held")
    objects.keep_long([ref], "b")
    objects.refresh()  # which finds no record of the batch
    objects.refresh()
    assert server.ttl(ref) == keys.OBJECT_TTL_SECONDS
    assert not objects._lasting
    name = keys.object_pieces(ref.name)
    del ref
    gc.collect()
    objects.tidy()
    assert name not in server.ttls


def test_in_shared_memory_it_is_freed_once_nobody_holds_it_and_its_batches_are_gone(
    server: Server, tmp_path: Path
) -> None:
    home = Home.make("test", tmp_path)
    objects = objects_of(server, home)
    ref, name = (held := objects.put(b"kept")), held.name
    server.batches = {"one", "other"}
    objects.keep_long([ref], "one")
    objects.share("one", "other")
    del ref, held
    gc.collect()
    for left in ({"other"}, set[str]()):
        objects.tidy()
        assert home.has(name)
        server.batches = left
        objects.refresh()
    objects.tidy()
    assert not home.has(name)
    home.close()


def test_the_argument_of_an_item_is_freed_once_its_chunk_is_answered_and_what_others_share_is_not(
    server: Server, tmp_path: Path
) -> None:
    home = Home.make("test", tmp_path)
    objects = objects_of(server, home)
    argument, shared = bytes(ASIDE_BYTES), np.ones(SHARED_BYTES)
    with noted(as_objects=True) as found:
        objects.pickled([objects.put("put"), argument], "The argument", None, found)
    item = found[-1]
    refs = [*found, objects.shared(shared, "The argument", None)]
    for batch in ("one", "its rerun"):
        objects.keep_long([ref for ref in refs if ref], batch)
    names = [ref.name for ref in refs if ref]
    assert len(names) == 3
    own = item.name
    del refs, found, item
    gc.collect()
    for batch in ("one", "its rerun"):
        objects.tidy()
        assert all(map(home.has, names))
        objects.answered(batch, names)
    objects.tidy()
    assert [name for name in names if not home.has(name)] == [own]
    home.close()
