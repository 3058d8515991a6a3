"""A package that workers do not have is one error before the first item, with what to do about it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import ManycoreError, PackageMissing
from tests.functions import square
from tests.integration.conftest import Server, serving, workers_of
from tests.packages import install
from tests.waiting import wait_until

NAME = "only_on_the_client"


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of a distribution that this process has installed, and no worker."""
    place = install(tmp_path / "site-packages", NAME, "1.2", "def double(number):\n    return 2 * number\n")
    monkeypatch.syspath_prepend(str(place))
    yield importlib.import_module(NAME)
    monkeypatch.delitem(importlib.sys.modules, NAME, raising=False)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With one worker, which has taken stock."""
    home = tmp_path_factory.mktemp("packages")
    with serving(home) as server, workers_of(server, home) as start_worker:
        start_worker()
        client = server.client()
        (worker,) = client.keys("mc:worker:*")
        wait_until(lambda: client.hget(worker, "inventory"), "the worker has taken stock")
        yield server


@pytest.fixture
def cluster(connect: Callable[..., Cluster]) -> Cluster:
    return connect()


def test_it_is_said_before_the_first_item_and_at_every_door(only_here: Any, cluster: Cluster, server: Server) -> None:
    def by_value(number: int) -> int:
        return int(only_here.double(number))

    def in_its_body(number: int) -> int:
        import only_on_the_client  # type: ignore[import-not-found]

        return int(only_on_the_client.double(number))

    text = rf"by_value imports {NAME}, missing on test0@\w+\..*EXTRA_PACKAGES='{NAME}==1.2'"
    with pytest.raises(PackageMissing, match=text):
        cluster.batch(by_value, range(1000), id="missing")
    for function in (only_here.double, in_its_body):
        with pytest.raises(PackageMissing):
            cluster.map(function, range(10))
        assert isinstance(cluster.submit(function, 1).exception(timeout=20), PackageMissing)
    with pytest.raises(PackageMissing):
        cluster.batch(square, [1], initializer=only_here.double, initargs=(1,))
    assert not server.client().exists("mc:batch:missing"), "nothing is written down of it"
    assert cluster.submit(square, 3).result(timeout=20) == 9


def test_of_many_calls_it_is_the_outcome_of_those_that_lack_it(only_here: Any, cluster: Cluster) -> None:
    def using(number: int) -> Callable[[], int]:
        return lambda: int(only_here.double(number)) if number % 2 else number

    def simple(number: int) -> Callable[[], int]:
        return lambda: number

    futures = [cluster.submit((using if n == 7 else simple)(n)) for n in range(20)]
    assert isinstance(futures[7].exception(timeout=20), PackageMissing)
    assert [future.result(timeout=20) for n, future in enumerate(futures) if n != 7] == [n for n in range(20) if n != 7]


def test_it_may_be_sent_all_the_same(only_here: Any, cluster: Cluster, connect: Callable[..., Cluster]) -> None:
    with pytest.raises((ManycoreError, ImportError), match=NAME):
        connect(check_packages="0").submit(only_here.double, 1).result(timeout=20)


def test_what_workers_have_and_what_may_never_be_imported_is_no_reason(only_here: Any, cluster: Cluster) -> None:
    def careful(number: int) -> int:
        import click

        try:
            import only_on_the_client
        except ImportError:
            return len(click.__name__) + number
        return int(only_on_the_client.double(number))

    assert cluster.batch(careful, [1, 2]).gather() == [6, 7]


def test_workers_keep_what_they_have_told_as_long_as_they_live(cluster: Cluster, server: Server) -> None:
    client = server.client()
    (key,) = client.keys("mc:inventory:*")
    client.delete(key)  # as by a server that has lost its memory
    wait_until(lambda: client.exists(key), "it is there again")
    assert 0 < client.ttl(key) <= 15
