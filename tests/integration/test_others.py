"""`Others`: a worker knows whether it is the only one of its queues, from the heartbeats of all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from manycore import Cluster
from manycore.protocol import keys
from manycore.protocol.activity import activities
from manycore.protocol.broker import connect
from manycore.protocol.settings import Settings
from manycore.worker.noticeboard import Noticeboard
from manycore.worker.parent.others import MOST_ASKED, SURE, Others
from tests.integration.conftest import Server
from tests.waiting import wait_until

ME = b"me@here"
NO_TEXT = b"\xff"


@pytest.fixture
def store(server: Server) -> Iterator[Any]:
    store = connect(Settings(url=server.url, key=server.key))
    yield store
    store.delete(keys.worker("other0"), keys.of_worker(keys.worker, NO_TEXT))
    store.close()


@pytest.fixture
def board() -> Noticeboard:
    return Noticeboard()


@pytest.fixture
def others(store: Any, board: Noticeboard) -> Others:
    context: Any = SimpleNamespace(redis=store, noticeboard=board)
    return Others(context, ME.decode(), ["cpu", "gpu"])


def test_one_that_saw_nobody_twice_is_alone(others: Others, board: Noticeboard) -> None:
    """Workers that were started together see each other at the second look only."""
    for _ in range(SURE):
        assert board.has_others
        others.look([ME])
    assert not board.has_others


@pytest.mark.parametrize(("queues", "shares"), [(["io"], False), (["io", "gpu"], True), ([], False)])
def test_another_one_counts_if_it_takes_from_the_same_queues(
    queues: list[str], shares: bool, others: Others, board: Noticeboard, store: Any
) -> None:
    board.say_others(not shares)
    store.hset(keys.worker("other0"), "queues", json.dumps(queues))
    for _ in range(SURE):
        others.look([ME, b"other0"])
    assert board.has_others == shares
    for _ in range(SURE):
        others.look([ME])
    assert not board.has_others


def test_one_that_is_gone_counts_no_more(others: Others, board: Noticeboard) -> None:
    """Its name stays in the index for a while."""
    for _ in range(SURE):
        others.look([ME, b"other0"])
    assert not board.has_others


@pytest.mark.parametrize("junk", ["", "{", "5", "[[1]]", "[" * 100_000])
def test_what_no_worker_has_written_counts_as_one(junk: str, others: Others, board: Noticeboard, store: Any) -> None:
    board.say_others(False)
    store.hset(keys.worker("other0"), "queues", junk)
    others.look([ME, b"other0"])
    assert board.has_others


def test_a_key_of_another_type_is_no_worker(others: Others, board: Noticeboard, store: Any) -> None:
    store.set(keys.worker("other0"), "?")
    for _ in range(SURE):
        others.look([ME, b"other0"])
    assert not board.has_others


def test_a_name_that_is_no_text_is_one_like_others(others: Others, board: Noticeboard, store: Any) -> None:
    """It may stand in the index: then no worker would start, and nobody could look."""
    board.say_others(False)
    store.hset(keys.of_worker(keys.worker, NO_TEXT), "queues", json.dumps(["cpu"]))
    others.look([NO_TEXT, ME])
    assert board.has_others


def test_with_such_a_name_in_the_index_a_worker_starts_and_all_can_look(
    store: Any, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    store.zadd(keys.WORKERS, {NO_TEXT: 1e18})
    store.set(keys.of_worker(keys.activity, NO_TEXT), "?", ex=60)
    worker = start_worker()
    assert connect().submit(abs, -1).result(timeout=20) == 1
    wait_until(lambda: [told.slots for told in activities(store)] == [1], "it is told of")
    assert worker.poll() is None


def test_of_many_none_is_asked(others: Others, board: Noticeboard) -> None:
    board.say_others(False)
    others.look([ME, *(b"other%d" % number for number in range(MOST_ASKED))])
    assert board.has_others
