"""A cluster at an address: workers started by hand, plain Celery beside ours, and messages that nobody should trust."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import pytest
from celery import Celery

from manycore import Cluster
from manycore.errors import MessageRefused, UnknownTask
from manycore.plain import celery_app
from tasks.primes import count_primes
from tests.functions import busy, square
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


def test_tasks_run_under_their_own_names(start_worker: StartWorker, connect: Connect) -> None:
    start_worker(tasks="tasks.primes")
    cluster = connect()
    assert cluster.submit(count_primes, 0, 1000).result(timeout=20) == 168
    assert Probe(cluster).program(count_primes).task == "tasks.primes.count_primes"
    assert Probe(cluster).program(square).task == "manycore.call"


def test_work_waits_for_the_first_worker(start_worker: StartWorker, connect: Connect) -> None:
    cluster = connect()
    futures = [cluster.submit(square, n) for n in range(10)]
    start_worker()
    assert [future.result(timeout=20) for future in futures] == [n * n for n in range(10)]


def test_two_workers_share_a_batch(start_worker: StartWorker, connect: Connect) -> None:
    start_worker(), start_worker()
    workers = {outcome.worker for outcome in connect().batch(busy, [0.005] * 200).as_completed()}
    assert len(workers) == 2


def test_a_plain_celery_call_works_beside_ours(
    server: Server, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(tasks="tasks.primes")
    app = plain_app(server, monkeypatch)
    assert app.send_task("tasks.primes.count_primes", (0, 1000)).get(timeout=20) == 168


def test_a_plain_celery_call_that_fails_raises(
    server: Server, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(tasks="tasks.primes")
    with pytest.raises(ValueError):  # noqa: PT011
        plain_app(server, monkeypatch).send_task("tasks.primes.count_primes", (5, -1)).get(timeout=20)


def test_an_unsigned_message_is_refused_and_the_worker_lives(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    process = start_worker()
    stranger = Celery(broker=server.url, set_as_current=False)
    stranger.conf.update(task_serializer="json", task_default_queue="cpu")
    stranger.send_task("manycore.call", (1,))
    assert connect().submit(square, 2).result(timeout=20) == 4
    assert process.poll() is None
    wait_until(lambda: not server.client().hlen("manycore-unacked"), "the refused message is gone")


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("tasks.collatz.longest_collatz", MessageRefused, "was signed as tasks.primes.count_primes"),
        ("tasks.primes.count_prime", MessageRefused, "was signed as tasks.primes.count_primes"),
    ],
    ids=["another task's", "nobody's"],
)
def test_a_message_under_another_name_is_refused(
    server: Server, start_worker: StartWorker, connect: Connect, name: str, error: type[Exception], says: str
) -> None:
    """A genuine message with its unsigned header changed: the signature is for another task."""
    future: Any = connect().submit("tasks.primes.count_primes", 0, 10)
    client = server.client()
    wait_until(lambda: client.llen("cpu"), "the message waits")
    message = json.loads(client.lpop("cpu"))  # type: ignore[arg-type]
    message["headers"]["task"] = name
    client.lpush("cpu", json.dumps(message))
    start_worker(tasks="tasks.primes,tasks.collatz")
    with pytest.raises(error) as caught:
        future.result(timeout=20)
    assert says in str(caught.value)


def test_a_task_that_no_worker_knows_is_refused(start_worker: StartWorker, connect: Connect) -> None:
    future: Any = connect().submit("tasks.primes.count_prime", 0, 10)
    start_worker(tasks="tasks.primes")
    with pytest.raises(UnknownTask, match=r"Did you mean 'tasks\.primes\.count_primes'"):
        future.result(timeout=20)


def test_a_forged_outcome_is_dropped(server: Server, start_worker: StartWorker, connect: Connect) -> None:
    cluster = connect()
    future = cluster.submit(square, 3)
    server.client().xadd(Probe(cluster).submit_stream, {"o": b"mc1O" + b"\0" * 80})
    start_worker()
    assert future.result(timeout=20) == 9
    assert Probe(cluster).refused_outcomes == 1


@pytest.mark.parametrize("junk", [{"slots": "1"}, {"slots": "many", "queues": "[", "tasks": "{}"}, "no hash at all"])
def test_a_workers_record_that_cannot_be_read_keeps_nobody_out(
    junk: Any, server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    client = server.client()
    if isinstance(junk, dict):
        client.hset("mc:worker:odd", mapping=junk)
    else:
        client.set("mc:worker:odd", junk)
    client.expire("mc:worker:odd", 60)
    client.zadd("mc:workers", {"odd": time() + 10})
    start_worker()
    assert connect().submit(square, 3).result(timeout=20) == 9


def plain_app(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MANYCORE_URL", server.url)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    return celery_app()


def test_a_task_given_by_name_goes_to_its_own_fleet(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    start_worker(tasks="tasks.hashing")
    client = server.client()
    connect().submit("tasks.hashing.sha256_of", str(tmp_path))
    wait_until(lambda: client.llen("io"), "the chunk waits for the io fleet")


def test_a_program_that_ends_finishes_what_it_has_submitted(tmp_path: Path) -> None:
    script = (
        "from manycore import Cluster\n"
        "cluster = Cluster(workers=1)\n"
        "cluster.submit(pow, 2, 5).add_done_callback(lambda future: print(future.result()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("32\n", "", 0)


def test_a_client_that_was_closed_leaves_no_key_but_its_accounts(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    client = server.client()

    def left() -> list[bytes]:
        """Not what is shown of batches, and not what workers have of themselves."""
        found: Any = client.keys("mc:*")
        shown = b"mc:(account|accounts|told|worker|workers|activity|inventory|tasks|bell|logs)(:|$)"
        return [key for key in found if not re.match(shown, key)]

    for number in range(3):
        with connect() as cluster:
            assert cluster.submit(abs, -number).result(timeout=20) == number
            assert list(cluster.map(abs, [-1])) == [1]
        wait_until(lambda: not left(), "nothing is left", seconds=10)
