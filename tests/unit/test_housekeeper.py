"""`Housekeeper`: no duty of it waits for another."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import redis

from manycore.client.housekeeper import Housekeeper
from manycore.errors import LocalClusterFailed


@pytest.mark.parametrize("error", [redis.ConnectionError, RuntimeError])
def test_a_local_cluster_that_is_down_is_noticed_though_its_server_is_asked_for_something(
    error: type[Exception],
) -> None:
    told = Event()

    def fail() -> NoReturn:
        raise error

    def find_it_down() -> NoReturn:
        raise LocalClusterFailed("server")

    household: Any = SimpleNamespace(lanes=list, check_threads=lambda: None, break_off=lambda _: told.set())
    tidier: Any = SimpleNamespace(work=lambda: None)
    lookout: Any = SimpleNamespace(check_local=find_it_down)
    bookkeeper: Any = SimpleNamespace(work=fail)
    none: Any = None
    keeper = Housekeeper(household, none, tidier, lookout, none, bookkeeper, none)
    keeper.start()
    try:
        assert told.wait(10)
    finally:
        keeper.close()
