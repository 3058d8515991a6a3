"""A batch that was handed over whole: its client is gone, workers look after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from manycore import Batch, Cluster
from manycore.errors import BatchCancelled, BatchDetached, BatchIncomplete, SettingsError, UnknownBatch
from tests.functions import busy, hold_while, note_run, square
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


def test_a_detached_batch_is_gathered_by_who_attaches(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    first = connect()
    batch = first.batch(square, range(1000), id="away")
    assert batch.detach(20) == "away"
    first.shutdown()
    assert connect().attach("away").gather() == [n * n for n in range(1000)]


def test_it_goes_out_whole_whatever_the_window(server: Server, connect: Connect) -> None:
    """No worker is there: a batch that is not handed over would wait for outcomes."""
    cluster = connect()
    cluster.batch(square, range(200_000), id="large").detach(20)
    assert connect().attach("large").progress.total == 200_000


def test_what_its_handle_says_afterwards(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    batch = connect().batch(busy, [0.2] * 10, id="handle")
    batch.detach(20)
    with pytest.raises(BatchDetached, match=r"cluster\.attach\('handle'\)"):
        batch.gather()


def test_a_batch_without_an_id_cannot_be_detached(connect: Connect) -> None:
    with pytest.raises(SettingsError, match="Give it one"):
        connect().batch(square, [1]).detach()


def test_an_input_that_does_not_end_runs_into_the_timeout(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    batch = connect().batch(square, iter(lambda: 1, 2), id="endless")
    with pytest.raises(TimeoutError, match="goes on here"):
        batch.detach(0.3)
    batch.cancel()


def test_a_batch_that_was_not_handed_over_is_pulled_no_further_than_its_workers_need(
    start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    pulled = count()
    batch = connect().batch(busy, (0.01 for _ in pulled), id="pulled")
    with pytest.raises(TimeoutError):
        batch.detach(0.2)
    so_far = next(pulled)
    wait_until(lambda: batch.progress.done > 100, "workers go on with it")
    assert next(pulled) < so_far + 2_000, "the window is a window again"
    batch.cancel()


def test_a_batch_that_was_deleted_is_not_handed_over(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    batch = connect().batch(square, range(10), id="deleted-1")
    batch.gather()
    batch.delete()
    with pytest.raises(UnknownBatch):
        batch.detach(20)
    wait_until(lambda: not server.client().keys("mc:*deleted-1*"), "nothing of it comes back")
    assert not server.client().exists("mc:detached")


@pytest.mark.slow
@pytest.mark.parametrize("end", [Batch.cancel, Batch.delete])
def test_a_batch_that_was_handed_over_can_still_be_ended_by_its_handle(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path, end: Callable[[Batch], None]
) -> None:
    start_worker(audit_seconds="0.2")
    held = tmp_path / "held"
    held.touch()
    files = {"deadly": str(tmp_path / "none"), "slow": str(held)}
    batch = connect().batch(hold_while, range(200), kwargs=files, id="ended")
    batch.detach(20)
    end(batch)
    client = server.client()
    if end is Batch.cancel:
        wait_until(lambda: client.hget("mc:batch:ended", "cancelled"), "its workers are told")
        with pytest.raises(BatchCancelled):
            connect().attach("ended").gather()
    held.unlink()
    wait_until(lambda: not client.llen("cpu") and not client.hlen("mc:unacked"), "nothing of it is under way")
    if end is Batch.delete:
        wait_until(lambda: not client.keys("mc:*ended*"), "nothing of it is left")
        end(batch)  # once more


def test_workers_send_again_what_got_lost(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    first = connect()
    first.batch(note_run, range(100), kwargs={"folder": str(folder)}, id="lost").detach(20)
    Probe(first).close_now()
    client = server.client()
    for _ in range(4):
        client.lpop("cpu")
    for _ in range(2):
        start_worker(audit_seconds="0.3")
    wait_until(lambda: len(list(folder.iterdir())) == 100, "every item has run, with no client there")
    wait_until(lambda: not client.exists("mc:detached"), "the watch is over")
    assert connect().attach("lost").gather() == list(range(100))
    assert {path.read_text() for path in folder.iterdir()} == {"x"}


def test_the_watch_passes_on_when_its_worker_dies(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    client = server.client()
    watching = [start_worker(audit_seconds="0.2"), start_worker(audit_seconds="0.2")]
    connect().batch(busy, [0.02] * 500, id="passed-on").detach(20)
    wait_until(lambda: client.get("mc:watch"), "somebody is on watch")
    holder: Any = client.get("mc:watch")
    watching[int(holder.decode().partition("@")[0].removeprefix("test"))].kill()
    wait_until(lambda: client.get("mc:watch") not in (None, holder), "the other one is")


def test_a_cancelled_batch_needs_no_watch(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    start_worker(audit_seconds="0.2")
    connect().batch(busy, [0.05] * 200, id="unwanted").detach(20)
    connect().attach("unwanted").cancel()
    wait_until(lambda: not server.client().exists("mc:detached"), "nobody looks after it any more")


def test_a_batch_that_was_deleted_and_handed_over_anew_is_another_one(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    """Who had looked after the first one sent its chunks for the second: their payloads are gone."""
    slow, client = tmp_path / "slow", server.client()
    slow.touch()
    cluster = connect()
    watchman, kwargs = Probe(cluster).watchman(), {"deadly": str(tmp_path / "never"), "slow": str(slow)}
    worker = start_worker(audit_seconds="600")
    cluster.batch(hold_while, [0, 1], kwargs=kwargs, id="anew").detach(20)
    watchman.look()
    slow.unlink()
    batch = cluster.attach("anew")
    assert batch.gather() == [0, 1]
    batch.delete()
    worker.terminate()
    worker.wait(20)
    cluster.batch(hold_while, [0, 1], kwargs=kwargs, id="anew").detach(20)
    while client.lpop("cpu"):
        pass
    for _ in range(3):
        watchman.look()
    start_worker(audit_seconds="600")
    assert cluster.attach("anew").gather() == [0, 1]


def test_an_input_that_raises_is_no_batch_that_can_be_handed_over(start_worker: StartWorker, connect: Connect) -> None:
    """It was handed over as if it had ended there, and nobody was told."""

    def broken() -> Iterator[int]:
        yield from range(5)
        raise LookupError("the input is broken")

    start_worker()
    batch = connect().batch(square, broken(), id="broken")
    with pytest.raises(LookupError, match="the input is broken"):
        batch.detach(20)
    with pytest.raises(LookupError, match="the input is broken"):
        batch.gather()
    with pytest.raises(BatchIncomplete):
        connect().attach("broken")
