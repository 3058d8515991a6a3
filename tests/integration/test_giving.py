"""A part of a running chunk is given away in one step: whoever dies in between, no item is in two chunks."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis import Redis

from manycore.protocol import keys
from manycore.protocol.line import Line
from manycore.protocol.message import Chunk, ItemOptions, open_chunk
from manycore.protocol.patience import OF_WORKERS, Patience
from manycore.protocol.publisher import Publisher
from manycore.protocol.signing import Keyring
from manycore.worker.blackbox import BlackBox
from manycore.worker.child.courier import Courier
from manycore.worker.child.giving import GIVE
from manycore.worker.child.reporter import REPORT
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.start import Start, fetch
from manycore.worker.noticeboard import Noticeboard
from tests.integration.conftest import Server
from tests.queues import lists_of

QUEUE, TTL = "given-away", 60
CHUNK = Chunk("given.c", "given", "t", None, ItemOptions(), 0, 0, 6, None, b"")
KEYRING = Keyring([b"k" * 16])


@pytest.fixture
def store(server: Server) -> Iterator[Redis]:
    client = server.client()
    yield client
    client.delete(keys.resume("given"), keys.strikes("given"), *lists_of(QUEUE), keys.bell(QUEUE))


@pytest.fixture
def context(store: Redis, tmp_path: Path) -> Any:
    return SimpleNamespace(
        redis=store,
        publisher=Publisher(store, KEYRING),
        line=Line(store),  # type: ignore[arg-type]
        settings=SimpleNamespace(batch_ttl_seconds=TTL, connection_seconds=0.01, url="redis://h"),
        keyring=KEYRING,
        slots=1,
        noticeboard=Noticeboard(),
        name="host/1",
    )


@pytest.fixture
def box(tmp_path: Path) -> Iterator[BlackBox]:
    box = BlackBox(tmp_path)
    yield box
    box.trace.close()


def begun(context: Any, box: BlackBox, token: str, given: Chunk = CHUNK) -> ChunkRun:
    """As `intake` does."""
    start = Start.of(given, fetch(context, given, token, known=True))
    chunk = start.chunk
    items = range(chunk.start, chunk.stop)
    return ChunkRun(chunk, items, box, queue=QUEUE, token=token, before=start.unseen, careful=start.careful)


def queued(store: Redis) -> list[range]:
    """The items of the messages that wait."""
    found: Any = [message for each in lists_of(QUEUE) for message in store.lrange(each, 0, -1)]
    chunks = [open_chunk(KEYRING, b64decode(json.loads(message)["body"]))[0] for message in found]
    return [chunk.indices_of(chunk.start, chunk.stop) for chunk in chunks]


def test_who_dies_after_it_gave_leaves_the_next_run_nothing_of_it(store: Redis, context: Any, box: BlackBox) -> None:
    """Before its next report. Two chunks would run an item then, and neither count what the other has begun."""
    Courier(context)._give(begun(context, box, "c/1"), 2)
    assert queued(store) == [range(4, 6)]
    assert store.exists(keys.bell(QUEUE))
    after = begun(context, box, "c/2")
    assert (after.chunk.start, after.stop, after.careful, after.before) == (0, 4, 4, "c/1")


def test_a_part_waits_as_its_chunk_did(store: Redis, context: Any, box: BlackBox) -> None:
    low = replace(CHUNK, options=ItemOptions(priority="low"))
    Courier(context)._give(begun(context, box, "c/1", low), 2)
    assert [store.llen(each) for each in lists_of(QUEUE)] == [0, 0, 0, 1]


def test_who_lost_the_chunk_gives_nothing_of_it(store: Redis, context: Any, box: BlackBox) -> None:
    first = begun(context, box, "c/1")
    begun(context, box, "c/2")
    Courier(context)._give(first, 2)
    assert queued(store) == []
    assert (first.stop, len(first.items)) == (6, 6)
    assert first.unseen(5) == "c/2", "the other run may have begun what is left: each is claimed"


def test_nothing_is_given_of_a_chunk_that_another_run_has_ended(store: Redis, context: Any, box: BlackBox) -> None:
    first = begun(context, box, "c/1")
    store.delete(keys.resume("given"))
    Courier(context)._give(first, 2)
    assert queued(store) == []
    assert first.must_claim(0)


def test_items_that_cannot_be_given_away_are_run_here(context: Any, box: BlackBox, tmp_path: Path) -> None:
    run = begun(context, box, "c/1")
    context.line = Line(Redis(unix_socket_path=str(tmp_path / "nobody")))  # type: ignore[arg-type]
    Courier(context)._give(run, 3)
    assert (len(run.items), run.items.given) == (6, 0)
    assert run.must_claim(5), "they may have been taken all the same"


def test_a_server_that_is_away_for_a_moment_is_waited_for(store: Redis, context: Any, box: BlackBox) -> None:
    """Else all that is left would have to be claimed, item by item: it may have been taken all the same."""
    run, courier = begun(context, box, "c/1"), Courier(context)
    context.settings.connection_seconds = 20
    answers = iter([redis.ConnectionError("away"), redis.OutOfMemoryError("full")])
    round_trip = courier._line.round

    def round_() -> Any:
        for error in answers:
            raise error
        return round_trip()

    courier._line.round = round_  # type: ignore[method-assign]
    courier._patience = Patience(context.settings, lambda _: False, OF_WORKERS)
    assert courier._give(run, 2)
    assert (queued(store), run.must_claim(3)) == ([range(4, 6)], False)


def test_to_an_idle_slot_nothing_is_given_while_a_message_waits(store: Redis, context: Any, box: BlackBox) -> None:
    """It takes that. Once a part went out with each look, until the other slot had begun."""
    run = begun(context, box, "c/1")
    store.lpush(QUEUE, "a message")
    assert Courier(context)._give(run, 3, unless_waiting=True), "the slot has something to do"
    assert store.lrange(QUEUE, 0, -1) == [b"a message"]
    assert (len(run.items), run.items.given, run.must_claim(5)) == (6, 0, False)
    store.delete(QUEUE)
    assert Courier(context)._give(run, 3, unless_waiting=True)
    assert (queued(store), run.stop) == ([range(3, 6)], 3)


def test_an_idle_slot_gets_its_part_before_anything_is_reported(store: Redis, context: Any, box: BlackBox) -> None:
    """A report and its answer take as long as an item that holds the GIL."""
    courier, run = Courier(context), begun(context, box, "c/1")
    run.started -= 1.0
    courier._current = run
    known = store.hget(keys.resume("given"), CHUNK.id)
    assert courier._tend(run, 0.05, asked=True)
    assert queued(store) == [range(3, 6)]
    after: Any = store.hget(keys.resume("given"), CHUNK.id)
    assert after != known, "that they are another chunk's is written in the same step"
    assert not store.exists(keys.outcomes("given"))


def test_what_is_asked_twice_is_given_once(store: Redis, context: Any, box: BlackBox) -> None:
    run = begun(context, box, "c/1")
    run.give(2)
    names, args = [keys.resume("given"), QUEUE], ["given.c", "c/1", str(run.resume(0, 4)), TTL, "message"]
    assert [GIVE.run(store, names, args) for _ in range(2)] == [b"", b""]
    assert store.lrange(QUEUE, 0, -1) == [b"message"]


def test_a_run_whose_chunk_another_has_ended_learns_of_it(store: Redis, context: Any, box: BlackBox) -> None:
    """It has taken the chunk's field along. Once a run that had been still went on as if nobody had begun the rest."""
    run = begun(context, box, "c/1")
    names = [keys.resume("given"), keys.outcomes("given"), keys.batch("given"), QUEUE]
    args = ["given.c", "c/1", str(run.resume(0, 1)), TTL, TTL, 1]
    assert REPORT.run(store, names, args) == [b"", None, 0, 0]
    store.delete(keys.resume("given"))
    assert REPORT.run(store, names, args) == [b"somebody", None, 0, 0]
