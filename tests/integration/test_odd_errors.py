"""Exceptions that raise whatever they are asked: each is its own item's error, or call's, or initializer's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from manycore import Cluster, task
from manycore.errors import InitializerFailed, RemoteError
from manycore.plain import celery_app
from tests.functions import square, worker_pid
from tests.integration.conftest import Server


class NoClass(Exception):
    @property
    def __class__(self) -> Any:
        raise SystemExit("no class")

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        raise SystemExit("no class")


class NoText(Exception):
    def __str__(self) -> NoReturn:
        raise KeyboardInterrupt

    __repr__ = __str__


class NoPickle(Exception):
    def __reduce__(self) -> NoReturn:
        raise SystemExit("no pickle")


class NoField(Exception):
    def __getattribute__(self, name: str) -> NoReturn:
        raise GeneratorExit(name)


ODD = {kind.__name__: kind for kind in (NoClass, NoText, NoPickle, NoField)}

COMES_AS = {"NoClass": RemoteError, "NoField": RemoteError}
"""The others reach the caller, who knows them, as they are."""


@task(name="tests.odd.fails")
def fails(name: str) -> str:
    """For items, plain calls and initializers."""
    if name in ODD:
        raise ODD[name]
    return name


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_odd_error_ends_what_raised_it_alone(
    pool: str, server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    start_worker("--pool", pool, tasks="tests.integration.test_odd_errors")
    cluster, app = connect(url=server.url), celery_app()
    process = cluster.submit(worker_pid).result(timeout=30)
    for name in ODD:
        for retries in (0, 1):
            results = cluster.batch(fails, ["a", name, "b"], retries=retries).gather(return_exceptions=True)
            assert [type(result) for result in results] == [str, COMES_AS.get(name, ODD[name]), str]
        call = app.send_task("tests.odd.fails", (name,), queue="cpu")
        with pytest.raises(RemoteError, match=name):
            call.get(timeout=30)
        with Cluster(server.url, initializer=fails, initargs=(name,)) as other:
            error = other.submit(square, 3).exception(timeout=30)
        assert isinstance(error, InitializerFailed)
        assert name in str(error)
    assert cluster.submit(worker_pid).result(timeout=30) == process, "nothing died"
