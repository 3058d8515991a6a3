"""`Courier`: what it cannot send stays with its run, whatever the server does meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from manycore.errors import ConnectionFailed
from manycore.protocol.codec import Keyring
from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker.blackbox import BlackBox
from manycore.worker.child.courier import Courier
from manycore.worker.child.run import ChunkRun


class Server:
    """In place of a publisher and of a Redis client: takes nothing while it is away."""

    def __init__(self) -> None:
        self.away = False
        self.published: list[Chunk] = []

    def publish(self, chunks: list[tuple[Chunk, bytes]], **_: Any) -> None:
        self._check()
        self.published += [chunk for chunk, _ in chunks]

    def pipeline(self, **_: Any) -> Any:
        return SimpleNamespace(
            xadd=self.skip,
            hset=self.skip,
            hdel=self.skip,
            expire=self.skip,
            hget=self.skip,
            llen=self.skip,
            execute=self.execute,
        )

    def skip(self, *_: Any, **__: Any) -> None:
        """A command that is only queued."""

    def execute(self) -> list[Any]:
        self._check()
        return [None, 0, 0, 0, 0]

    def _check(self) -> None:
        if self.away:
            raise OperationalError("away")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def courier(server: Server, tmp_path: Path) -> Courier:
    settings = SimpleNamespace(connection_seconds=0.01, batch_ttl_seconds=60, max_item_bytes=1000, url="redis://h")
    context: Any = SimpleNamespace(
        publisher=server,
        redis=server,
        settings=settings,
        keyring=Keyring([b"k" * 16]),
        name="host/1",
        drain_flag=tmp_path / "drain",
    )
    return Courier(context)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ChunkRun]:
    box = BlackBox(tmp_path)
    chunk = Chunk("b.c", "b", "task", None, ItemOptions(retries=1), 0, 0, 6, None, b"")
    yield ChunkRun(chunk, deque(range(6)), box)
    box.trace.close()


def test_items_that_cannot_be_given_away_are_run_here(server: Server, courier: Courier, run: ChunkRun) -> None:
    server.away = True
    courier._give(run, "cpu", 3)
    assert list(run.pending) == list(range(6))
    assert run.given == 0


def test_items_that_came_back_too_late_are_said_to_be_left(server: Server, courier: Courier, run: ChunkRun) -> None:
    run.give(3)
    run.execute(lambda item: item)
    run.keep()
    assert not courier.finish(run)
    run.execute(lambda item: item)
    assert courier.finish(run)
    assert run.reported == 6


def test_outcomes_that_cannot_be_written_are_kept(server: Server, courier: Courier, run: ChunkRun) -> None:
    run.execute(lambda item: 1 // (item - 2))
    server.away = True
    with pytest.raises(ConnectionFailed):
        courier.finish(run)
    assert run.reported == 0
    server.away = False
    assert courier.finish(run)
    assert run.reported == 6


def test_a_retry_is_sent_before_its_report(server: Server, courier: Courier, run: ChunkRun) -> None:
    """Were it the other way round, a death between the two would lose the item."""
    run.execute(lambda item: 1 // (item - 2))
    server.execute = lambda: pytest.fail("reported")  # type: ignore[method-assign]
    with pytest.raises(pytest.fail.Exception):
        courier.finish(run)
    assert [chunk.index(chunk.start) for chunk in server.published] == [2]
    assert server.published[0].attempt == 2
