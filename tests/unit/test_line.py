"""`Line`: a connection whose time limit the kernel keeps."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import redis

from manycore.protocol.broker import connect
from manycore.protocol.line import Line
from manycore.protocol.settings import load_settings

PATIENCE_SECONDS = 0.1


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Line]:
    """A line to a server that accepts connections and never says a word."""
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield Line(connect(load_settings(url=f"unix://{path}"), PATIENCE_SECONDS))


def test_a_server_that_is_silent_is_not_waited_for_for_ever(mute: Line) -> None:
    for _ in range(2):  # a connection that was dropped is made anew, and has its limit again
        mute.send([("PING",)])
        began = monotonic()
        with pytest.raises(redis.ConnectionError):
            mute.read()
        assert PATIENCE_SECONDS * 0.9 < monotonic() - began < 20 * PATIENCE_SECONDS


def test_a_server_that_reads_nothing_is_not_waited_for_for_ever(mute: Line) -> None:
    with pytest.raises(redis.ConnectionError):
        mute.send([("SET", "key", bytes(16 * 1024 * 1024))])


def test_no_step_on_its_socket_asks_beforehand(mute: Line) -> None:
    mute.send([("PING",)])
    assert mute._connection._sock.gettimeout() is None
