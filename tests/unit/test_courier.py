"""`Courier`: what it cannot send stays with its run, whatever the server does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from manycore.errors import ConnectionFailed
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.packing import opened, pack, unpack
from manycore.protocol.resume import Resume
from manycore.protocol.signing import Keyring
from manycore.worker.blackbox import BlackBox
from manycore.worker.child.courier import Courier
from manycore.worker.child.giving import GIVE
from manycore.worker.child.intake import skip
from manycore.worker.child.run import ChunkRun
from manycore.worker.noticeboard import Noticeboard
from tests.runs import turn_of
from tests.waiting import wait_until


class Pipe(SimpleNamespace):
    def __len__(self) -> int:
        return 0


class Server:
    """In place of a publisher, and of a client of Redis and its line: takes nothing while it is away."""

    def __init__(self) -> None:
        self.away = False
        self.published: list[Chunk] = []
        self.payloads: list[bytes] = []
        self.resumes: list[Resume] = []
        self.other = b""
        """The run that has taken the chunk over, if one has."""

    def publish(self, chunks: list[tuple[Chunk, bytes]], **_: Any) -> None:
        self._check()
        self.published += [chunk for chunk, _ in chunks]
        self.payloads += [payload for _, payload in chunks]

    def message(self, *_: Any, **__: Any) -> str:
        return "a message"

    def round(self) -> Any:
        return Pipe(evalsha=self.reported, eval=self.skip, execute=self.execute)

    def skip(self, *_: Any, **__: Any) -> None:
        """A command that is only queued."""

    def reported(self, *args: Any) -> None:
        """`report.lua`: its third argument is how far the run says that it is."""
        self._field = args[4 + args[1]] if args[0] != GIVE.named((), ())[0] else ""

    def execute(self, **_: Any) -> list[Any]:
        self._check()
        resume = Resume.parse(self._field.encode())
        if resume is None:
            return [self.other]
        self.resumes.append(resume)
        return [[self.other, None, 0, 0]]

    def _check(self) -> None:
        if self.away:
            raise redis.ConnectionError("away")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def courier(server: Server, tmp_path: Path) -> Courier:
    settings = SimpleNamespace(
        connection_seconds=0.01,
        batch_ttl_seconds=60,
        max_item_bytes=1000,
        lease_seconds=9.0,
        inline_bytes=99,
        url="redis://h",
    )
    context: Any = SimpleNamespace(
        publisher=server,
        redis=server,
        line=server,
        clock=SimpleNamespace(now=lambda: 0.0),
        slots=1,
        noticeboard=Noticeboard(),
        settings=settings,
        keyring=Keyring([b"k" * 16]),
        name="host/1",
    )
    return Courier(context)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ChunkRun]:
    box = BlackBox(tmp_path)
    chunk = Chunk("b.c", "b", "task", None, ItemOptions(retries=1), 0, 0, 6, None, b"")
    yield ChunkRun(chunk, range(6), box, queue="cpu", held=opened(pack(range(6))))
    box.trace.close()


def test_items_that_came_back_too_late_are_said_to_be_left(server: Server, courier: Courier, run: ChunkRun) -> None:
    run.items.give(3)
    run.execute(lambda item: item)
    run.items.keep()
    assert not courier.finish(run)
    run.execute(lambda item: item)
    assert courier.finish(run)
    assert run.tally.reported == 6


def test_outcomes_that_cannot_be_written_are_kept(server: Server, courier: Courier, run: ChunkRun) -> None:
    run.execute(lambda item: 1 // (item - 2))
    server.away = True
    with pytest.raises(ConnectionFailed):
        courier.finish(run)
    assert run.tally.reported == 0
    server.away = False
    assert courier.finish(run)
    assert run.tally.reported == 6


def test_a_retry_is_sent_before_its_report(server: Server, courier: Courier, run: ChunkRun) -> None:
    """Were it the other way round, a death between the two would lose the item."""
    run.execute(lambda item: 1 // (item - 2))
    server.execute = lambda **_: pytest.fail("reported")  # type: ignore[method-assign]
    with pytest.raises(pytest.fail.Exception):
        courier.finish(run)
    assert [chunk.index(chunk.start) for chunk in server.published] == [2]
    assert server.published[0].attempt == 2
    assert unpack(server.payloads[0]) == [2]  # and no neighbour's


def test_a_run_that_goes_on_stays_in_care(courier: Courier, run: ChunkRun) -> None:
    """Once the courier slept through the rest of such a chunk."""
    courier.care_for(run)
    assert not courier.finish(run)
    assert courier._awaited() is run


def test_it_looks_around_again_where_the_run_was_over_as_it_woke(
    courier: Courier, run: ChunkRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each call of many that come one after the other wakes it in vain, in the middle of its own end."""
    with ThreadPoolExecutor(1) as pool:
        awaited = pool.submit(courier._awaited)
        wait_until(lambda: courier._sleeping, "it sleeps")
        monkeypatch.setattr("manycore.worker.child.courier.HOVER_SECONDS", 60.0)
        with courier._changed:
            courier._changed.notify()
            courier._current = None
        wait_until(lambda: not courier._sleeping, "it looks by itself")
        courier.care_for(run)
        assert awaited.result(timeout=20) is run


def test_the_retries_of_one_report_are_few_messages(server: Server, courier: Courier, tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    chunk = Chunk("b.c", "b", "task", None, ItemOptions(retries=1), 100, 0, 16_000, None, b"")
    run = ChunkRun(chunk, range(16_000), box, queue="cpu", held=opened(pack(range(16_000))))
    run.execute(lambda item: 1 // 0)
    courier.finish(run)
    assert len(server.published) == 4
    indices = [index for chunk in server.published for index in chunk.indices_of(chunk.start, chunk.stop)]
    assert indices == list(range(100, 16_100))
    assert [value for payload in server.payloads for value in unpack(payload)] == list(range(16_000))
    box.trace.close()


def test_retries_need_not_lie_side_by_side_to_share_a_message(server: Server, courier: Courier, tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    chunk = Chunk("b.c", "b", "task", None, ItemOptions(retries=1), 100, 0, 4_000, None, b"")
    run = ChunkRun(chunk, range(4_000), box, queue="cpu", held=opened(pack(range(4_000))))
    run.execute(lambda item: 1 // (item % 2))
    courier.finish(run)
    assert len(server.published) == 4
    sent = [index for chunk in server.published for index in chunk.own_indices(chunk.start, chunk.stop)]
    assert sent == list(range(100, 4_100, 2))
    values = [value for payload in server.payloads for value in unpack(payload)]
    assert [value for value in values if value is not None] == list(range(0, 4_000, 2))  # and no neighbour's
    box.trace.close()


def test_what_a_message_skips_is_neither_run_nor_reported_nor_sent_again(
    server: Server, courier: Courier, tmp_path: Path
) -> None:
    box = BlackBox(tmp_path)
    chunk = Chunk("b.c", "b", "task", None, ItemOptions(retries=2), 100, 0, 6, None, b"", skipped=(1, 4), attempt=2)
    run = ChunkRun(chunk, range(6), box, queue="cpu", held=opened(pack(range(6))))
    skip(run)
    began = list[int]()

    def item(value: int) -> None:
        began.append(value)
        assert value != 3

    turn = turn_of(run, item)
    turn.guard(())
    run.execute(turn.shortest())
    assert courier.finish(run)
    assert began == [0, 2, 3, 5]
    assert [list(chunk.own_indices(chunk.start, chunk.stop)) for chunk in server.published] == [[103]]
    assert (run.tally.ok, run.tally.failed, run.summary()) == (3, 0, "3 ok, 1 to retry")
    box.trace.close()


def test_one_of_many_neighbours_does_not_look_all_the_time(server: Server, courier: Courier, run: ChunkRun) -> None:
    courier._current, courier._rhythm._slots = run, 128
    for _ in range(3):
        courier._tend(run, 0.05)
    assert (len(server.resumes), len(run.items)) == (0, 3), "it has given half away, once"
    run.tally.values.append(0)
    run.tally.seconds.append(0.0)
    courier._tend(run, 0.05)  # what has finished leaves at once
    assert len(server.resumes) == 1


def test_a_slot_that_falls_idle_gets_something_at_once(server: Server, courier: Courier, run: ChunkRun) -> None:
    for slots in (0, 1):
        courier._context.noticeboard.say_idle(slots)
    assert not courier._tend(run, 0.05), "its run has just ended: it is another's to share"
    courier._current, run.started = run, run.started - 10.0
    assert courier._tend(run, 0.05)
    assert run.items.given == 3


def test_a_finished_chunk_stays_known_as_done(server: Server, courier: Courier, run: ChunkRun) -> None:
    """Its acknowledgement can get lost: when its message comes again, there is nothing to run."""
    run.items.give(2)
    run.execute(lambda item: item)
    assert courier.finish(run)
    resume = server.resumes[-1]
    assert (resume.start, resume.stop) == (4, 4)
    assert len(resume.of(run.chunk)) == 0


def test_items_far_ahead_may_begin_once_redis_knows(server: Server, courier: Courier, run: ChunkRun) -> None:
    run.started -= 1000  # so long for nothing: the next one may take as long
    began = list[int]()
    courier._flush(run)
    assert server.resumes[-1].begun == 1
    run.execute(began.append)
    assert began == [0]
    assert not courier.finish(run)
    assert server.resumes[-1].begun == 2
    run.execute(began.append)
    assert began == [0, 1]


def test_while_the_server_is_away_none_begins_that_it_does_not_know_of(
    server: Server, courier: Courier, run: ChunkRun
) -> None:
    run.started -= 1000
    began = list[int]()
    courier._flush(run)
    server.away = True
    run.execute(began.append)
    with pytest.raises(ConnectionFailed):
        courier.finish(run)
    run.execute(began.append)
    assert began == [0]


def test_what_another_run_has_taken_over_is_claimed_item_by_item(
    server: Server, courier: Courier, run: ChunkRun
) -> None:
    """The worker was silent for too long, and is alive: its chunk runs elsewhere as well."""
    server.other = b"c/2"
    courier._flush(run)
    run.execute(pytest.fail)
    assert not courier.finish(run)
    claimed, began = list[int](), list[int]()
    run.claim = claimed.append
    run.execute(turn_of(run, began.append).shortest())
    assert claimed == began == list(range(6))
    assert run.unseen(5) == "c/2"


def test_what_may_have_been_given_away_is_claimed_item_by_item(server: Server, courier: Courier, run: ChunkRun) -> None:
    """The answer to the publishing got lost: perhaps the items are in another message, too."""
    server.away = True
    courier._give(run, 3)
    server.away = False
    run.execute(pytest.fail)
    assert not courier.finish(run)
    claimed = list[int]()
    run.claim = claimed.append
    run.execute(turn_of(run, lambda item: item).shortest())
    assert claimed == list(range(6))
