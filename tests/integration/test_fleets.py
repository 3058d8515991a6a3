"""Fleets by any name: a batch runs on the workers it names, and says so when there are none."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster, task
from manycore.client import lookout
from manycore.errors import SettingsError, UnknownTask
from manycore.protocol import keys
from manycore.protocol.ranges import RangeSet
from manycore.protocol.roster import live_workers
from tests.integration.conftest import ROOT, Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


@task(fleet="gpu")
def train(number: int) -> int:
    return number + 1


def where_after_a_while(_: int) -> int:
    time.sleep(0.02)
    return os.getppid()


def rights(of: str) -> list[str]:
    """What ops/redis/users.acl lets a user of the stack do."""
    users = [line.split() for line in (ROOT / "ops/redis/users.acl").read_text().splitlines()]
    return next([right for right in found if right[0] != "#"] for _, name, *found in users if name == of)


def as_user(server: Server, name: str) -> str:
    admin: Any = server.client()
    admin.execute_command("ACL", "SETUSER", name, "reset", "on", *rights(name), ">pw")
    return server.url.replace(f":{server.password}@", f"{name}:pw@")


def test_a_batch_runs_on_the_fleet_that_it_names(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    """With the rights of the stack's client; by the batch, by the function, and by neither."""
    cpu, big, gpu = start_worker(), start_worker("--queue", "gpu-2_big"), start_worker("--queue", "gpu")
    cluster = connect(url=as_user(server, "client"))
    marked = task(fleet="gpu")(lambda _: os.getppid())
    assert cluster.submit(marked, 0).result(timeout=20) == gpu.pid
    assert set(cluster.map(marked, range(20))) == {gpu.pid}
    assert set(cluster.batch(marked, range(20), fleet="cpu").gather()) == {cpu.pid}
    assert set(cluster.batch(lambda _: os.getppid(), range(20), fleet="gpu-2_big").gather()) == {big.pid}
    assert set(cluster.batch(lambda _: os.getppid(), range(20)).gather()) == {cpu.pid}


def test_a_fleet_without_a_worker_is_waited_for_with_a_word(
    start_worker: StartWorker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "LONELY_SECONDS", 0.1)
    start_worker()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        batch = connect().batch(abs, range(5), fleet="gpu")
        wait_until(lambda: any(w.category is RuntimeWarning for w in said), "the batch says what it waits for")
        start_worker("--queue", "gpu")
        assert batch.gather() == [0, 1, 2, 3, 4]
    [text] = {str(warning.message) for warning in said if warning.category is RuntimeWarning}
    assert "No worker of the fleet 'gpu'" in text
    assert "workers of 'cpu'" in text
    assert "manycore worker --fleet gpu" in text


def test_a_message_that_got_lost_in_a_fleets_queue_is_sent_again(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    client = server.client()
    batch = connect(audit_seconds="0.3").batch(abs, range(5), fleet="gpu")
    wait_until(lambda: client.llen("gpu"), "it was sent")
    client.delete("gpu")
    wait_until(lambda: client.llen("gpu"), "it was sent again")
    start_worker("--queue", "gpu")
    assert batch.gather() == [0, 1, 2, 3, 4]


def test_what_waits_in_a_fleets_queue_is_not_taken_for_lost(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    cluster = connect(audit_seconds="0.1")
    auditor = Probe(cluster).auditor
    looked, audits = auditor.in_flight, []

    def counted(batches: Iterable[str], queues: Iterable[str]) -> dict[str, RangeSet]:
        audits.append(1)
        return looked(batches, queues)

    monkeypatch.setattr(auditor, "in_flight", counted)
    cluster.batch(abs, range(5), fleet="gpu")
    wait_until(lambda: client.llen("gpu") == 2, "a chunk for each of the slots that there may be has left")
    audits.clear()
    wait_until(lambda: len(audits) > 3, "it was looked for several times")
    assert client.llen("gpu") == 2


def test_a_named_batch_may_move_to_another_fleet(
    start_worker: StartWorker, server: Server, connect: Connect, tmp_path: Path
) -> None:
    """The cure for a fleet that is gone: what waits for it does not count."""
    first = connect()
    first.batch(abs, range(5), id="moves", fleet="gone")
    wait_until(lambda: server.client().llen("gone"), "it was sent")
    first._session.close()
    start_worker("--queue", "there")
    assert connect().batch(abs, range(5), id="moves", fleet="there").gather() == [0, 1, 2, 3, 4]


def test_a_local_cluster_runs_everything(cluster: Cluster) -> None:
    assert cluster.batch(train, range(3)).gather() == [1, 2, 3]
    assert cluster.batch(abs, range(3), fleet="bigmem").gather() == [0, 1, 2]
    with pytest.raises(SettingsError, match="fleet="):
        cluster.batch(abs, range(3), fleet="no such:name")


def test_flower_may_see_which_fleets_there_are_and_what_waits_and_take_nothing(
    server: Server, start_worker: StartWorker
) -> None:
    start_worker("--queue", "gpu")
    client: Any = server.client().from_url(as_user(server, "flower"))
    assert {queue for worker in live_workers(client) for queue in worker.queues} == {"gpu"}
    assert client.llen("gpu") == 0
    server.client().lpush("gpu", "x")
    assert client.lrange("gpu", 0, -1) == [b"x"]
    for take in (client.rpop, client.lpop, client.delete, lambda queue: client.lpush(queue, "y")):
        with pytest.raises(Exception, match="permission"):
            take("gpu")
    assert server.client().lrange("gpu", 0, -1) == [b"x"]


def test_a_worker_leaves_the_tasks_that_it_does_not_know_to_those_who_do(
    start_worker: StartWorker, server: Server, connect: Connect
) -> None:
    """One that joined without the stack's tasks; it takes the functions that come by value meanwhile."""
    knows, joined = start_worker(tasks="tasks.primes"), start_worker()
    cluster = connect()
    assert cluster.batch("tasks.primes.count_primes", [(0, 10)] * 40, star=True).gather() == [4] * 40
    assert set(cluster.batch(where_after_a_while, range(60)).gather()) == {knows.pid, joined.pid}
    knows.terminate()
    wait_until(lambda: server.client().zcard("mc:workers") == 1, "it has left")
    server.client().delete(keys.tasks("cpu"))  # as a minute later
    lost = cluster.batch("tasks.primes.count_primes", [(0, 10)], star=True, fleet="cpu")
    with pytest.raises(UnknownTask):
        lost.gather()


def test_a_task_whose_only_worker_starts_again_waits_for_it(
    start_worker: StartWorker, server: Server, connect: Connect
) -> None:
    """As in an upgrade: the one that does not know it refused thousands of items meanwhile."""
    knows, _ = start_worker(tasks="tasks.primes"), start_worker()
    cluster = connect()
    knows.terminate()
    wait_until(lambda: server.client().zcard("mc:workers") == 1, "it has left")
    waits = cluster.batch("tasks.primes.count_primes", [(0, 10)] * 3, star=True, fleet="cpu")
    assert cluster.submit(abs, -3).result(20) == 3, "what is behind it is taken"
    start_worker(tasks="tasks.primes")
    assert waits.gather() == [4] * 3


def test_a_task_that_no_worker_has_known_lately_is_refused(
    start_worker: StartWorker, server: Server, connect: Connect
) -> None:
    start_worker()
    server.client().zadd(keys.tasks("cpu"), {"gone.task": time.time() - 2 * keys.TASKS_SECONDS})
    for name in ("gone.task", "tpyo.task"):
        with pytest.raises(UnknownTask):
            connect().batch(name, [1], fleet="cpu").gather()
