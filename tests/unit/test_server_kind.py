"""Which servers a client refuses; no such server can be had here, so what it says of itself is made up."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from manycore.errors import SettingsError
from manycore.protocol.broker import check_server_kind
from manycore.protocol.settings import Settings

SETTINGS = Settings(url="redis://h:1/0")


class Says:
    def __init__(self, **facts: str) -> None:
        self._facts = facts

    def info(self, _section: str) -> dict[str, str]:
        return self._facts


class SaysNothing:
    def info(self, _section: str) -> dict[str, str]:
        raise redis.exceptions.NoPermissionError("this user may not ask")


def check(server: Any) -> None:
    check_server_kind(server, SETTINGS)


@pytest.mark.parametrize("version", ["6.2.0", "6.10.1", "7.2.4", "8.0.0", "255.255.255"])
def test_a_server_since_6_2_will_do(version: str) -> None:
    check(Says(redis_version=version, redis_mode="standalone"))
    check(Says(redis_version="7.2.4", server_name="valkey", server_mode="standalone"))


@pytest.mark.parametrize("version", ["6.0.16", "5.0.3"])
def test_an_older_one_is_refused(version: str) -> None:
    with pytest.raises(SettingsError, match=rf"Redis {version}\. manycore needs 6\.2 or newer, or Valkey"):
        check(Says(redis_version=version, redis_mode="standalone"))


@pytest.mark.parametrize("facts", [{"redis_mode": "cluster"}, {"server_mode": "sentinel"}], ids=str)
def test_a_node_of_many_is_refused(facts: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="mode, which manycore does not support"):
        check(Says(redis_version="7.2.4", **facts))


def test_one_that_may_not_be_asked_is_taken_as_it_is() -> None:
    check(SaysNothing())
