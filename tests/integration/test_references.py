"""Functions stay in Redis while a batch needs them, and no longer; whoever dies leaves them to the TTL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from manycore import Cluster
from manycore.protocol import keys
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.parcel import Parcel
from manycore.protocol.references import References
from manycore.protocol.shares import MAX_IDLE
from tests.functions import hold_while
from tests.probe import Probe
from tests.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def flags(tmp_path: Path) -> Iterator[dict[str, str]]:
    """For `hold_while`, which is busy for as long as `slow` is there."""
    slow = tmp_path / "slow"
    slow.touch()
    yield {"deadly": str(tmp_path / "deadly"), "slow": str(slow)}
    slow.unlink(missing_ok=True)


def over(bytes_held: int, mark: int) -> Callable[[int], int]:
    """A function of its own for each mark, with so many bytes in its closure."""
    blob = bytes(bytes_held)
    return lambda number: number + mark + 0 * len(blob)


def held_by(cluster: Cluster, digest: str) -> set[bytes]:
    """Who holds a function; nobody if it is gone."""
    pipe: Any = Probe(cluster).redis.pipeline()
    found, there = pipe.smembers(keys.holders(digest)).exists(keys.reference(digest)).execute()
    assert bool(found) == bool(there)
    return set(found)


def digest_of(cluster: Cluster, function: Callable[..., Any], **kwargs: Any) -> str:
    return str(Probe(cluster).program(function, kwargs).digest)


def references(cluster: Cluster) -> int:
    return len(list(Probe(cluster).redis.scan_iter("mc:ref:*")))


def test_after_a_map_its_function_is_gone(cluster: Cluster) -> None:
    function = over(10_000, 1)
    digest = digest_of(cluster, function)
    for _ in range(2):  # and is sent again
        results = cluster.map(function, range(4))
        assert next(results) == 1
        assert list(results) == [2, 3, 4]
        wait_until(lambda: not held_by(cluster, digest), "it is gone")


def test_what_two_batches_need_stays_for_the_second(cluster: Cluster, flags: dict[str, str]) -> None:
    digest = digest_of(cluster, hold_while, **flags)
    slow = cluster.batch(hold_while, range(2), kwargs=flags)
    wait_until(lambda: held_by(cluster, digest), "it is held under the name of the first: the second may leave sooner")
    assert cluster.batch(hold_while, [0], kwargs=flags).gather() == [0]
    wait_until(lambda: held_by(cluster, digest) == {slow.id.encode()}, "the first one has let go of it")
    Path(flags["slow"]).unlink()
    assert slow.gather() == [0, 1]
    wait_until(lambda: not held_by(cluster, digest), "it is gone")


def test_a_named_batch_lets_go_when_it_is_deleted(cluster: Cluster, flags: dict[str, str]) -> None:
    """Not before: what failed of it may be run again."""
    digest = digest_of(cluster, hold_while, **flags)
    Path(flags["slow"]).unlink()
    batch = cluster.batch(hold_while, range(2), id=uuid4().hex, kwargs=flags)
    assert batch.gather() == [0, 1]
    assert held_by(cluster, digest) == {batch.id.encode()}
    batch.delete()
    wait_until(lambda: not held_by(cluster, digest), "it is gone")


def test_functions_that_are_submitted_come_and_go() -> None:
    with Cluster(workers=1) as cluster:
        for mark in range(MAX_IDLE + 20):
            assert cluster.submit(over(10, mark), 1).result(timeout=20) == 1 + mark
            assert references(cluster) <= MAX_IDLE + 3


@pytest.mark.parametrize("order", [("keeper", "b"), ("b", "keeper")])
def test_at_the_end_of_a_client_nothing_stays_for_another_map(cluster: Cluster, order: tuple[str, str]) -> None:
    """Whichever comes first, the client's end or that of its last batch: that the function stayed, no one undid."""
    redis, program = Probe(cluster).redis, Probe(cluster).program(over(10, 7), {})
    chunk = Chunk("b/1", "b", program.task, program.digest, ItemOptions(), 0, 0, 1, None, b"", ephemeral=True)
    held = References(redis, 60, keeper="keeper")
    pipe = redis.pipeline()
    held.settle(held.queue(pipe, [Parcel(chunk, program, b"")]), pipe.execute())
    assert held_by(cluster, str(program.digest)) == {b"b"}
    for holder in order:
        held.release(redis, holder)
    held.drop_idle(redis)
    assert not held_by(cluster, str(program.digest))


def test_large_ones_that_are_idle_go_first(cluster: Cluster) -> None:
    before = references(cluster)
    for mark in range(20):
        assert cluster.submit(over(MIB, 1000 + mark), 1).result(timeout=20) == 1001 + mark
    large = [key for key in Probe(cluster).redis.scan_iter("mc:ref:*") if Probe(cluster).redis.strlen(key) > MIB]
    assert len(large) < 10
    assert references(cluster) <= before + 10
