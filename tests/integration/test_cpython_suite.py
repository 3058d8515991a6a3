"""CPython's own tests of executors, run over `Cluster`: where a name is the standard library's, its behaviour is too.

The classes in `cpython/` are CPython's, as they are. Each test is a client of its own; all share one cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import ClassVar
from unittest import TestCase

import pytest

from manycore import Cluster
from tests.integration.cpython.as_completed import AsCompletedTests
from tests.integration.cpython.executor import ExecutorTest
from tests.integration.cpython.wait import WaitTests
from tests.probe import Probe
from tests.waiting import wait_until

WORKERS = 8
"""CPython takes five; here a test does not wait for the sleepers that the one before has left."""


def arrive(folder: str) -> None:
    """Wait until every process of the cluster is here: then each has imported this module, and the tests that it names.

    They sleep for 1.5 s and for 3 s in two processes, and ask which was first: to import under load takes longer.
    """
    (Path(folder) / str(os.getpid())).touch()
    wait_until(lambda: len(os.listdir(folder)) == WORKERS, "all are here", seconds=60)


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Cluster]]:
    """Makes clients of one cluster."""
    clients: list[Cluster] = []
    with Cluster(workers=WORKERS) as cluster:
        cluster.batch(arrive, [str(tmp_path_factory.mktemp("here"))] * WORKERS).gather()

        def connect() -> Cluster:
            clients.append(Probe(cluster).another_client())
            return clients[-1]

        yield connect
        for client in clients:
            Probe(client).close_now()


class OverCluster(TestCase):
    executor_type: ClassVar = Cluster
    worker_count: ClassVar = WORKERS
    executor: Executor

    @pytest.fixture(autouse=True)
    def client(self, connect: Callable[[], Cluster]) -> Iterator[None]:
        self.executor = connect()
        yield
        self.executor.shutdown(wait=False)


class TestExecutor(ExecutorTest, OverCluster):
    """`submit`, `map`, and who holds what."""


class TestWait(WaitTests, OverCluster):
    """`concurrent.futures.wait`."""


class TestAsCompleted(AsCompletedTests, OverCluster):
    """`concurrent.futures.as_completed`."""
