"""A named batch again, or from elsewhere: what is sent, what stays, and that the results stand at their places."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from manycore import Batch, Cluster
from manycore.client import chunking
from manycore.errors import BatchChanged, BatchIncomplete, NotPicklable
from manycore.protocol.publisher import Publisher
from tests.functions import hold_while, square
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.queues import waiting
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


def sent_whole(server: Server, batch: str) -> None:
    client = server.client()
    wait_until(lambda: client.hexists(f"mc:batch:{batch}", "total"), "all of it is sent")


@pytest.mark.parametrize("hole", [0, 2, 4])
def test_attaching_to_a_batch_with_an_argument_that_could_not_be_sent(
    start_worker: StartWorker, connect: Connect, hole: int
) -> None:
    start_worker()
    items: list[Any] = [1, 2, 3, 4, 5]
    items[hole] = threading.Lock()
    first = connect().batch(str, items, id="holed").gather(return_exceptions=True)
    second = connect().attach("holed").gather(return_exceptions=True)
    assert len(first) == len(second) == 5
    assert isinstance(first[hole], NotPicklable)
    assert isinstance(second[hole], NotPicklable)
    del first[hole], second[hole]
    assert first == second == [str(item) for place, item in enumerate(items) if place != hole]


def test_a_detached_batch_with_an_argument_that_could_not_be_sent_ends(
    start_worker: StartWorker, connect: Connect
) -> None:
    cluster = connect()
    cluster.batch(str, [1, threading.Lock(), 3], id="left").detach()
    start_worker(audit_seconds="0.2")
    watched = connect()
    results = watched.attach("left").gather(return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == ["1", NotPicklable, "3"]
    wait_until(lambda: not Probe(watched).redis.exists("mc:detached"), "no worker has to look after it")


def test_a_finished_batch_again_sends_nothing(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect()
    items = [bytes([n]) * 50_000 for n in range(100)]
    assert cluster.batch(len, items, id="again").gather() == [50_000] * 100
    client = server.client()
    before = client.info("commandstats")
    batch = cluster.batch(len, items, id="again")
    assert batch.gather() == [50_000] * 100
    wait_until(lambda: client.hexists("mc:batch:again", "total"), "all of it is noted as sent")
    after = client.info("commandstats")
    calls = [after.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("set", "lpush")]
    assert calls == [before.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("set", "lpush")]
    assert client.keys("mc:again:in:*") == []
    assert connect().attach("again").gather() == [50_000] * 100


def test_a_batch_that_is_under_way_again_sends_nothing(server: Server, connect: Connect) -> None:
    connect().batch(square, range(100), id="waits")
    sent_whole(server, "waits")
    queued = server.client().llen("cpu")
    connect().batch(square, range(100), id="waits")
    sent_whole(server, "waits")
    assert server.client().llen("cpu") == queued > 0


def test_of_a_batch_that_is_under_way_in_part_the_rest_is_sent(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    connect().batch(square, range(2000), id="part")
    sent_whole(server, "part")
    client = server.client()
    queued = client.llen("cpu")
    client.lpop("cpu")
    again = connect().batch(square, range(2000), id="part")
    sent_whole(server, "part")
    assert client.llen("cpu") == queued > 1
    start_worker()
    assert again.gather() == [n * n for n in range(2000)]


def test_a_batch_that_cannot_be_sent_leaves_the_earlier_run_alone(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    cluster = connect()
    cluster.batch(square, range(10), id="kept").gather()
    with pytest.raises(NotPicklable):
        cluster.batch(square, range(10), id="kept", kwargs={"lock": threading.Lock()})
    assert cluster.attach("kept").gather() == [n * n for n in range(10)]


def test_other_arguments_make_another_batch(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect()
    assert cluster.batch(int, ["10", "11"], id="n", kwargs={"base": 8}).gather() == [8, 9]
    with pytest.raises(BatchChanged, match="different arguments"):
        cluster.batch(int, ["10", "11"], id="n", kwargs={"base": 16})
    again = cluster.batch(int, ["10", "11"], id="n", kwargs={"base": 16}, on_change="accept")
    assert again.gather() == [8, 9]  # as it says: what is there stays


def test_an_argument_that_cannot_be_sent_fails_alone_in_a_named_batch_too(
    start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    cluster = connect()
    for _ in range(2):
        results = cluster.batch(str, [1, threading.Lock()], id="lock").gather(return_exceptions=True)
        assert [results[0], type(results[1])] == ["1", NotPicklable]


def test_a_batch_that_has_just_been_gathered_is_whole_and_can_be_deleted(cluster: Cluster) -> None:
    """Its end is told first, its record says so a moment later: neither may meet that moment."""
    redis = Probe(cluster).redis
    for number in range(20):
        batch = cluster.batch(square, [1, 2, 3], id=f"just-{number}")
        assert batch.gather() == [1, 4, 9]
        if number % 2:
            assert cluster.attach(batch.id).gather() == [1, 4, 9]
        batch.delete()
    wait_until(lambda: not redis.keys("mc:*just-*"), "nothing of them is left")


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_batch_that_was_deleted_while_it_ran_begins_anew(
    start_worker: StartWorker, connect: Connect, tmp_path: Path, elsewhere: bool
) -> None:
    start_worker(audit_seconds="0.2")
    (tmp_path / "held").touch()
    cluster = connect()
    files = {"deadly": str(tmp_path / "none"), "slow": str(tmp_path / "held")}
    batch = cluster.batch(hold_while, range(200), kwargs=files, id="anew")
    wait_until(lambda: batch.progress.done, "it runs")
    batch.delete()
    if elsewhere:
        wait_until(lambda: Probe(cluster).redis.hexists("mc:batch:anew", "deleted"), "others can know of it")
    other = connect() if elsewhere else cluster
    again = other.batch(square, range(300), id="anew")
    (tmp_path / "held").unlink()
    assert again.gather() == [n * n for n in range(300)]
    passing = Probe(cluster)
    wait_until(lambda: not passing.draining, "the first has nothing left to do")
    assert connect().attach("anew").gather() == [n * n for n in range(300)], "that left the second alone"


@pytest.mark.parametrize("end", [Batch.wait, Batch.gather, lambda batch: list(batch.as_completed())])
def test_who_is_told_of_the_end_can_have_others_go_on_at_once(cluster: Cluster, end: Callable[[Batch], object]) -> None:
    """`Rerun failed` in Flower answered 409 to somebody whose `wait` had just returned: it was not noted yet."""
    redis = Probe(cluster).redis
    for number in range(20):
        batch = cluster.batch(square, [1, 2, 3], id=f"at-once-{number}")
        end(batch)
        assert redis.hget(f"mc:batch:{batch.id}", "total") == b"3"
        batch.delete()


def test_a_batch_is_handed_over_once_its_last_chunk_has_left(
    start_worker: StartWorker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the last chunk was about to leave, the batch passed for sent whole: detached then, it lost its function."""
    leaving, go, publish = threading.Event(), threading.Event(), Publisher.publish

    def slow(*args: Any, **kwargs: Any) -> None:
        leaving.set()
        assert go.wait(20)
        publish(*args, **kwargs)

    cluster = connect()
    monkeypatch.setattr(Publisher, "publish", slow)
    batch = cluster.batch(lambda n: n + 1, [1], id="leaving")  # one chunk, the last
    assert leaving.wait(20)
    with pytest.raises(TimeoutError, match="goes on here"):
        batch.detach(0.3)
    with pytest.raises(BatchIncomplete):
        cluster.attach("leaving")
    go.set()
    batch.detach(20)
    start_worker()
    assert cluster.attach("leaving").gather() == [2]


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_batch_that_was_deleted_brings_its_function_along_again(
    start_worker: StartWorker, connect: Connect, elsewhere: bool
) -> None:
    cluster = connect()

    def function(number: int) -> int:
        return number + 7

    for number in range(2):
        worker = start_worker()  # each knows nothing of the one before
        batch = cluster.batch(function, [1, 2], id="comes-back")
        assert batch.gather() == [8, 9], number
        (connect().attach(batch.id) if elsewhere else batch).delete()
        worker.terminate()
        worker.wait(20)


def test_a_batch_that_its_client_has_given_up_half_sent_is_not_whole(server: Server, connect: Connect) -> None:
    """No worker is there, as if two slots were: what is left in its input counted as its end."""
    cluster = connect()
    cluster.batch(square, range(1_000_000), id="half")
    wait_until(lambda: waiting(server.client(), "cpu") == chunking.window_chunks(2), "no more of it leaves")
    Probe(cluster).close_now()
    with pytest.raises(BatchIncomplete):
        connect().attach("half")


@pytest.mark.parametrize("attached", [True, False])
def test_what_was_done_before_is_no_speed_of_who_goes_on_with_it(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path, attached: bool
) -> None:
    start_worker()
    (slow := tmp_path / "slow").touch()
    call = partial(hold_while, deadly=str(tmp_path / "deadly"), slow=str(slow))
    first = connect().batch(call, range(9), id="goes-on")
    wait_until(lambda: first.progress.done == 1, "its first item is done, the others hold")
    sent_whole(server, first.id)
    second = connect().attach("goes-on") if attached else connect().batch(call, range(9), id="goes-on")
    assert (second.progress.done, second.progress.rate, second.progress.eta_seconds) == (1, 0.0, None)
    slow.unlink()
    assert second.gather() == list(range(9))
    progress = second.progress
    assert progress.rate == 8 / progress.seconds
