"""Last stop: tasks that workers know by name, for `manycore` and for plain Celery alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from manycore import Cluster, task, worker_state
from manycore.plain import celery_app
from tasks.primes import count_primes
from tests.integration.conftest import Server


def load(word: str) -> str:
    """Runs once in each worker process."""
    return word.upper()


def shout(number: int) -> str:
    return str(worker_state()) * number


def test_an_initializer_makes_what_items_need_once_in_each_process(cluster: Cluster) -> None:
    batch = cluster.batch(shout, [1, 2], initializer=load, initargs=("hey",))
    assert batch.gather() == ["HEY", "HEYHEY"]


def test_a_task_is_still_the_plain_function() -> None:
    @task
    def double(number: int) -> int:
        return 2 * number

    assert double(21) == 42


def test_workers_run_it_by_its_name(start_worker: Callable[..., object], connect: Callable[..., Cluster]) -> None:
    start_worker(tasks="tasks.primes")
    cluster = connect()
    assert cluster.submit(count_primes, 0, 1000).result(timeout=20) == 168
    assert cluster.submit("tasks.primes.count_primes", 0, 100).result(timeout=20) == 25


def test_plain_celery_calls_the_same_workers(
    server: Server, start_worker: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(tasks="tasks.primes")
    monkeypatch.setenv("MANYCORE_URL", server.url)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    assert celery_app().send_task("tasks.primes.count_primes", (0, 1000)).get(timeout=20) == 168
