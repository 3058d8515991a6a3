"""`Wire`: one connection that is kept. Whatever happens on it, a reply is the answer to its own command."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from manycore.protocol import keys, wire
from manycore.protocol.broker import connect
from manycore.protocol.settings import load_settings
from manycore.protocol.store import Store
from manycore.protocol.wire import Wire
from tests.integration.conftest import Server


@pytest.fixture
def store(server: Server) -> Store:
    return connect(load_settings(url=server.url))


def test_replies_are_as_redis_py_gives_them(store: Store) -> None:
    store.xadd("stream", {"field": "value"}, id="1-1")
    replies = Wire(store).execute([("LPUSH", "list", b"x", "y"), ("XREAD", b"STREAMS", "stream", "0-0")])
    assert replies == [2, store.xread({"stream": "0-0"})]
    store.delete("stream", "list")


def test_an_error_is_raised_after_all_was_read(store: Store) -> None:
    held = Wire(store)
    with pytest.raises(redis.exceptions.NoScriptError):
        held.execute([("EVALSHA", "0" * 40, 0), ("ECHO", "not read")])
    assert held.execute([("ECHO", "next")]) == [b"next"]


def test_junk_in_the_place_of_what_we_keep_is_taken_away(store: Store) -> None:
    key = keys.outcomes("b")
    store.set(key, "junk", ex=60)
    assert Wire(store).execute([("XREAD", b"STREAMS", key, "0-0"), ("ECHO", "next")])[1] == b"next"
    assert not store.exists(key)


def test_a_step_that_is_broken_off_leaves_no_reply_for_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Wire(store)
    connection: Any = store.connection_pool.get_connection()
    store.connection_pool.release(connection)  # the one that the wire takes
    with monkeypatch.context() as patch:

        def interrupted() -> None:
            raise KeyboardInterrupt

        patch.setattr(connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            held.execute([("ECHO", "first")])
    assert held.execute([("ECHO", "second")]) == [b"second"]


def test_a_connection_that_the_server_closed_meanwhile_is_no_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.0)
    held = Wire(store)
    ((mine,),) = [held.execute([("CLIENT", "ID")])]
    assert store.client_kill_filter(_id=mine) == 1
    assert held.execute([("ECHO", "on")]) == [b"on"]
