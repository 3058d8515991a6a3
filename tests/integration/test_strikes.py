"""Strikes and claims on a real server: whoever dies, seen or not, nothing deadly runs once too often."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from manycore import Cluster
from manycore.protocol import keys
from manycore.protocol.line import Line
from manycore.protocol.message import LOST, Chunk, ItemOptions, new_chunk_id
from manycore.protocol.resume import Resume, new_run
from manycore.protocol.script import knowing
from manycore.worker import strikes
from manycore.worker.blackbox import NOBODY, Reading
from manycore.worker.child.claims import CLAIM, SETTLE, Claims
from manycore.worker.child.intake import _doom
from manycore.worker.child.reporter import REPORT
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.start import Start, fetch, settled
from manycore.worker.child.turn import Doomed, Postponed
from manycore.worker.strikes import STRIKE, Strike
from tests.integration.conftest import ROOT
from tests.probe import Probe

MOST, TTL, AT = 3, 60, 3
"""Executions that a deadly item may have; its position."""
SETTINGS = SimpleNamespace(batch_ttl_seconds=TTL)


@pytest.fixture
def store(cluster: Cluster) -> Redis:
    return Probe(cluster).redis


@pytest.fixture
def chunk() -> Chunk:
    batch = f"strikes-{new_chunk_id('').removeprefix('.')}"
    return Chunk(new_chunk_id(batch), batch, "t", None, ItemOptions(), 100, 0, 6, None, b"")


def claim(store: Redis, chunk: Chunk, run: str, unseen: str = "") -> int:
    names = [keys.strikes(chunk.batch), keys.resume(chunk.batch)]
    return int(CLAIM.run(store, names, ["103", run, unseen, MOST, TTL, chunk.id]))


def die(store: Redis, chunk: Chunk, run: str, cause: str = "signal 9") -> Strike:
    return strikes.record(store, Reading(chunk.id, 103, run), cause, TTL)


def settle(store: Redis, chunk: Chunk, run: str) -> None:
    SETTLE.run(store, [keys.strikes(chunk.batch)], ["103", run])


def known(store: Redis, chunk: Chunk) -> dict[bytes, bytes]:
    found: Any = store.hgetall(keys.strikes(chunk.batch))
    return dict(found)


def test_two_deaths_at_once_are_two_and_one_told_twice_is_one(store: Redis, chunk: Chunk) -> None:
    assert [die(store, chunk, run).count for run in ("c/1", "d/2", "c/1")] == [1, 2, 2]
    assert strikes.parse(known(store, chunk)) == {103: Strike(2, "signal 9")}
    assert store.ttl(keys.strikes(chunk.batch)) > 0


def test_what_is_under_way_counts_like_what_died(store: Redis, chunk: Chunk) -> None:
    die(store, chunk, "c/1")
    assert [claim(store, chunk, run) for run in ("c/2", "d/3", "c/2", "e/4")] == [0, 0, 0, 3]
    die(store, chunk, "c/2")
    assert claim(store, chunk, "e/4") == 3
    settle(store, chunk, "d/3")
    assert claim(store, chunk, "e/4") == 0


def test_one_that_may_have_died_unseen_counts_until_somebody_is_blamed(store: Redis, chunk: Chunk) -> None:
    die(store, chunk, "c/2")
    die(store, chunk, "c/3")
    assert claim(store, chunk, "c/4", "c/1") == 3
    strikes.record(store, Reading(chunk.id, 104, "c/1"), "signal 9", TTL)
    assert claim(store, chunk, "c/4", "c/1") == 0


def begun(store: Redis, chunk: Chunk, field: str) -> None:
    store.hset(keys.resume(chunk.batch), f"{chunk.batch}.other", field)


@pytest.mark.parametrize(
    ("field", "counts"),
    [
        ("100,0,9,0,4,o/1,", True),
        ("90,0,20,0,14,o/1,", True),
        ("100,0,9,0,3,o/1,", False),  # it may have begun the items before
        ("100,4,9,0,9,o/1,", False),  # it has reported this one
        ("junk", False),
    ],
)
def test_what_another_chunk_may_have_begun_counts_if_the_message_got_lost(
    store: Redis, chunk: Chunk, field: str, counts: bool
) -> None:
    begun(store, chunk, field)
    for run in ("c/1", "c/2"):
        die(store, chunk, run)
    assert claim(store, chunk, "c/3", LOST) == (3 if counts else 0)
    settle(store, chunk, "c/3")
    assert claim(store, chunk, "c/3") == 0  # its message did not get lost


def test_what_another_chunk_had_begun_counts_once_when_its_death_is_known(store: Redis, chunk: Chunk) -> None:
    begun(store, chunk, "100,0,9,0,4,o/1,")
    for run in ("o/1", "c/1"):
        die(store, chunk, run)
    assert claim(store, chunk, "c/2", LOST) == 0


def test_what_was_claimed_by_a_process_that_died_between_items_is_no_death(store: Redis, chunk: Chunk) -> None:
    first = (world := World(store, chunk)).begin()
    claim(store, chunk, first.token)
    strikes.absolve(store, Reading(chunk.id, NOBODY, first.token), TTL)
    assert world.begin().struck == {}
    assert not strikes.claimed(known(store, chunk))


def test_what_was_taken_for_dead_and_ends_well_is_no_death(store: Redis, chunk: Chunk) -> None:
    claim(store, chunk, "c/1")
    die(store, chunk, "c/1", strikes.UNSEEN)
    settle(store, chunk, "c/1")
    assert known(store, chunk) == {}


def test_an_end_that_comes_after_its_batch_leaves_no_key(store: Redis, chunk: Chunk) -> None:
    settle(store, chunk, "c/1")
    assert not store.exists(keys.strikes(chunk.batch))


def test_a_server_that_forgot_the_scripts_is_told_them(store: Redis, chunk: Chunk) -> None:
    store.script_flush()
    assert claim(store, chunk, "c/1") == 0
    store.script_flush()
    pipe = store.pipeline(transaction=False)

    def step() -> list[Any]:
        pipe.reset()
        STRIKE.queue(pipe, [keys.strikes(chunk.batch)], ["103", "c/1", "{}", TTL])
        return list(pipe.execute())

    assert knowing(store, step, STRIKE) == [1]


def test_the_stacks_worker_may_run_the_scripts(store: Redis, chunk: Chunk) -> None:
    """With the rights that ops/redis/users.acl gives to workers."""
    lines = [line.split() for line in (ROOT / "ops/redis/users.acl").read_text().splitlines()]
    rights = next([right for right in rights if right[0] != "#"] for _, name, *rights in lines if name == "worker")
    admin: Any = store
    admin.execute_command("ACL", "SETUSER", "a-worker", *rights, ">pw")
    address = store.connection_pool.connection_kwargs["path"]
    with Redis(unix_socket_path=address, username="a-worker", password="pw") as worker:
        store.script_flush()
        assert claim(worker, chunk, "c/1") == 0
        assert die(worker, chunk, "c/1").count == 1


def test_a_run_that_was_taken_over_reports_no_more(store: Redis, chunk: Chunk) -> None:
    world = World(store, chunk)
    first, second = world.begin(), world.begin()
    assert world.report(first, begun=2) == second.token
    assert world.report(second, begun=4) == ""
    third = world.begin()
    assert (third.run.careful, third.run.before) == (6, f"{first.token} {second.token}")  # the first may have begun 6


def test_a_run_whose_death_was_seen_leaves_no_suspects(store: Redis, chunk: Chunk) -> None:
    world = World(store, chunk)
    first = world.begin()
    strikes.record(store, Reading(chunk.id, 104, first.token), "signal 9", TTL)
    second = world.begin()
    assert (second.run.careful, second.run.before) == (0, "")


@pytest.mark.parametrize("junk", [b"", b"1", b"1,2,3", b"a,b,c,d,e,f,g", b"\xff", b"0,9,5,2,1,x,", b"0,-1,-2,-3,-4,x,"])
def test_junk_in_place_of_a_resume_costs_no_item(store: Redis, chunk: Chunk, junk: bytes) -> None:
    store.hset(keys.resume(chunk.batch), chunk.id, junk)
    store.expire(keys.resume(chunk.batch), TTL)
    run = World(store, chunk).begin().run
    assert 0 <= run.chunk.start <= run.chunk.stop <= 6


@dataclass(slots=True)
class Life:
    """One run of the chunk, as far as it came."""

    token: str
    run: ChunkRun
    struck: dict[int, Strike]
    doomed: bool
    held: bool = False
    executing: bool = False
    over: bool = False


@dataclass(slots=True)
class World:
    """Runs of one chunk whose item at `AT` kills whoever runs it."""

    store: Any
    chunk: Chunk
    lives: list[Life] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    executions: int = 0
    condemned: bool = False

    def begin(self) -> Life:
        """As `intake` does."""
        token = new_run(self.chunk)
        context: Any = SimpleNamespace(redis=self.store, line=Line(self.store), settings=SETTINGS)
        fetched = fetch(context, self.chunk, token, known=True)
        start = Start.of(self.chunk, fetched)
        struck = strikes.parse(settled(context, start.chunk, fetched.strikes, token))
        box: Any = SimpleNamespace(note=[0])
        items = range(start.chunk.start, start.chunk.stop)
        claims = Claims(self.store, start.chunk, token, MOST, TTL, struck, lambda position, strike: None)
        run = ChunkRun(start.chunk, items, box, token=token, before=start.unseen, careful=start.careful, claims=claims)
        _doom(run, struck, MOST)
        self.lives.append(Life(token, run, struck, any(isinstance(item, Doomed) for item in run.items._pending)))
        return self.lives[-1]

    def report(self, life: Life, begun: int) -> str:
        run = life.run
        resume = Resume(run.chunk.first, run.chunk.start, run.chunk.stop, run.careful, begun, life.token, run.before)
        names = [of(self.chunk.batch) for of in (keys.resume, keys.outcomes, keys.batch, keys.bell)]
        other: bytes = REPORT.run(self.store, names, [self.chunk.id, life.token, str(resume), TTL, TTL, 1])[0]
        if other:
            run.share_with(other.decode())
        return other.decode()

    def look(self, life: Life) -> None:
        """The run reports, and holds the deadly item back."""
        if not life.run.must_claim(AT) and not self.report(life, begun=AT):
            life.held = True

    def reach(self, life: Life) -> None:
        """The run comes to the deadly item."""
        if life.doomed:
            self.condemned = life.over = True
            return
        free = 103 not in life.struck and not life.run.must_claim(AT)
        if free and not (life.held and self.report(life, begun=AT + 1)):
            life.executing = True
            self.executions += 1
            return
        assert life.run.claims is not None
        refused = claim(self.store, self.chunk, life.token, life.run.unseen(AT))
        try:
            life.run.claims.judge(AT, refused)
        except Postponed:
            life.over = True
        else:
            life.executing = True
            self.executions += 1

    def end(self, life: Life, rng: random.Random) -> None:
        """Its process dies: its parent says so at once, or later, or has died with it."""
        life.over = True
        how = rng.choice(["seen", "told later", "unseen"])
        if how == "seen":
            die(self.store, self.chunk, life.token)
        elif how == "told later":
            self.untold.append(life.token)


@pytest.mark.parametrize("seed", range(60))
def test_whoever_dies_in_whatever_order_a_deadly_item_runs_three_times_at_most(
    store: Redis, chunk: Chunk, seed: int
) -> None:
    """Several copies of one message run at once, deaths are seen, told late, or never."""
    rng, world = random.Random(seed), World(store, chunk)
    for _ in range(60):
        alive = [life for life in world.lives if not life.over]
        step = rng.random()
        if not alive or step < 0.2:
            world.begin()
        elif step < 0.3 and world.untold:
            die(store, chunk, world.untold.pop(rng.randrange(len(world.untold))))
        else:
            life = rng.choice(alive)
            if life.executing:
                world.end(life, rng)
            elif rng.random() < 0.5:
                world.look(life)
            else:
                world.reach(life)
        assert world.executions <= MOST
        if world.condemned:
            assert world.executions >= MOST - 1
            return
    store.delete(*keys.owned_by(chunk.batch))
