"""Batches take turns: one that has had its share of every slot lets others go first, and ends all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Backoff, Batch, Cluster
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.priority import LATER, LOW, PRIORITY_SUFFIXES
from tests.functions import busy, fail_first, square
from tests.integration.conftest import Server
from tests.queues import lists_of, waiting
from tests.waiting import wait_until

WAIT = Backoff(1.0, jitter=False)
Connect = Callable[..., Cluster]
StartWorker = Callable[..., Any]


def test_a_small_batch_need_not_wait_for_a_huge_one(start_worker: StartWorker, connect: Connect) -> None:
    """It waited for the end of it, however long that took."""
    start_worker()
    huge = connect().batch(busy, [0.01] * 20_000)
    wait_until(lambda: huge.progress.done > 50, "it is under way")
    small = connect().batch(square, range(40))
    assert small.gather() == [n * n for n in range(40)]
    assert huge.progress.done < 10_000
    huge.cancel()


def test_nor_does_a_call(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    huge = connect().batch(busy, [0.01] * 20_000)
    wait_until(lambda: huge.progress.done > 50, "it is under way")
    assert connect().submit(square, 7).result(timeout=20) == 49
    huge.cancel()


@pytest.mark.slow
def test_what_waits_behind_comes_to_its_end_beside_a_stream_of_calls(
    start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    batch, calls = connect().batch(busy, [0.005] * 400), connect()
    while batch.progress.done < 400:
        assert [call.result(timeout=20) for call in [calls.submit(busy, 0.005) for _ in range(20)]]
    assert len(batch.gather()) == 400


def test_what_is_beyond_a_share_of_every_slot_waits_apart(server: Server, connect: Connect) -> None:
    connect().batch(square, range(10_000))
    client = server.client()
    wait_until(lambda: waiting(client, "cpu") == 8, "all chunks are queued")
    assert (client.llen("cpu"), client.llen("cpu" + LATER)) == (2, 6)


def test_what_has_a_low_priority_waits_behind_all_others(server: Server, connect: Connect) -> None:
    connect().batch(square, range(10_000), priority="low")
    client = server.client()
    wait_until(lambda: waiting(client, "cpu") == 8, "all chunks are queued")
    assert client.llen("cpu" + LOW) == 8


def test_a_batch_goes_before_one_of_low_priority_to_its_very_end(start_worker: StartWorker, connect: Connect) -> None:
    """Of two that are alike each would have half of the slot."""
    start_worker()
    nightly = connect().batch(busy, [0.01] * 20_000, priority="low")
    wait_until(lambda: nightly.progress.done > 50, "it is under way")
    urgent = connect().batch(busy, [0.01] * 300)  # more than its share of the slot: most of it waits apart
    urgent.wait()
    seconds, before = urgent.progress.seconds, nightly.progress.done
    assert seconds < 3 / 0.6, "it had most of the slot"
    wait_until(lambda: nightly.progress.done > before, "the other one goes on")
    nightly.cancel()


def test_what_has_a_low_priority_leaves_its_slot_also_to_what_has_had_its_share(
    start_worker: StartWorker, server: Server, connect: Connect
) -> None:
    start_worker()
    nightly = connect().batch(busy, [0.01] * 20_000, priority="low")
    wait_until(lambda: nightly.progress.done > 50, "it is under way")
    client: Any = server.client()
    urgent = connect().batch(busy, [0.01] * 50, fleet="nobody")

    def is_done() -> bool:  # its chunks are put behind its share, all of them
        for each in lists_of("nobody"):
            while (message := client.rpop(each)) is not None:
                client.lpush("cpu" + LATER, message)
        return urgent.wait(0)

    wait_until(is_done, "it is done: the chunk that ran before takes half a minute", seconds=10)
    nightly.cancel()


@pytest.mark.slow
def test_what_has_a_low_priority_comes_to_its_end_beside_a_stream_of_calls(
    start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    batch, calls = connect().batch(busy, [0.005] * 100, priority="low"), connect()
    while batch.progress.done < 100:
        assert [call.result(timeout=20) for call in [calls.submit(busy, 0.005) for _ in range(20)]]
    assert len(batch.gather()) == 100


def test_what_is_tried_again_and_given_away_keeps_its_priority(
    start_worker: StartWorker, server: Server, connect: Connect, tmp_path: Path
) -> None:
    seen: set[str] = set()
    client = server.client()
    start_worker(slots=2)
    batch = connect().batch(
        fail_first, range(60), kwargs={"folder": str(tmp_path)}, retries=1, backoff=0.01, priority="low"
    )
    while not batch.wait(0):
        seen |= {suffix for suffix in PRIORITY_SUFFIXES if client.llen("cpu" + suffix)}
    assert batch.gather() == [2] * 60
    assert seen <= {LOW}


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_is_tried_again_need_not_wait_for_a_huge_batch(
    pool: str, slots: int, server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    """Its worker takes it at once and waits for its time, and by then every slot has a chunk that is as long as can be:
    it waited there, unseen, for the end of one."""
    start_worker("--pool", pool, slots=slots)
    huge = connect().batch(busy, [0.05] * 2_000 * slots)
    wait_until(lambda: huge.progress.done > 10, "it is under way")
    small = connect().batch(fail_first, [0], kwargs={"folder": str(tmp_path)}, retries=1, backoff=WAIT)
    wait_until(lambda: small.wait(0), "it is done: a chunk takes 100 s")
    assert small.gather() == [2]
    assert told(server.client(), small, "repeats") == 0, "it was not lost"
    assert huge.progress.done < 1_000
    huge.cancel()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_is_tried_again_waits_where_all_see_it_and_is_taken_once_a_slot_is_idle(
    pool: str, server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    """Taken each time that the worker looks, it would keep a core busy."""
    start_worker("--pool", pool)
    client: Any = server.client()
    cluster, wait = connect(), Backoff(3.0, jitter=False)
    small = cluster.batch(fail_first, [0], kwargs={"folder": str(tmp_path)}, retries=1, backoff=wait)
    wait_until(lambda: told(client, small, "retried") and client.hlen(UNACKED), "it waits for its time")
    long = cluster.submit(busy, 4.0)  # which cannot leave its slot
    wait_until(lambda: client.llen("cpu"), "it is put back")
    before = rung(client)
    assert long.result(timeout=20) == 4.0
    assert rung(client) - before < 60, "it was not taken at each turn of a loop"
    assert small.gather() == [2]
    assert client.hlen(UNACKED) == client.zcard(UNACKED_INDEX) == 0


def told(client: Any, batch: Batch, name: str) -> int:
    """What the batch's account counts."""
    return int(client.hget(keys.account(batch.id), name) or 0)


def rung(client: Any) -> int:
    """How often anybody has rung a bell."""
    return int(client.info("commandstats")["cmdstat_zadd"]["calls"])


def test_what_comes_as_a_retry_takes_the_last_slot_is_left_to_others(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    """The worker had asked for it before, for a slot that was idle then: it was nobody's until its lease ended."""
    flag, client = tmp_path / "flag", server.client()
    flag.touch()

    def fail_and_hold_on(folder: str) -> None:
        fail_first(0, folder=folder)
        while flag.exists():
            busy(0.01)

    start_worker()
    held = connect().batch(fail_and_hold_on, [str(tmp_path)], retries=1, backoff=Backoff(0.3, jitter=False))
    wait_until(lambda: (tmp_path / "0").exists() and (tmp_path / "0").read_text() == "xx", "the retry runs")
    call = connect().submit(square, 7)
    wait_until(lambda: waiting(client, "cpu"), "it lies in its list", seconds=15)
    flag.unlink()
    assert call.result(timeout=20) == 49
    assert held.gather() == [None]
