"""The server's clock, reckoned on from an answer; a host's own may be anything."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
import redis

from manycore.protocol import clock
from manycore.protocol.clock import FRESH_SECONDS, QUICK_SECONDS, TRIES, ServerClock

HOUR = 3600.0


class Server:
    """Answers TIME with `ahead` seconds more than `elapsed`, the machine's clock, each answer after so long."""

    def __init__(self, ahead: float, took: Iterable[float] = ()) -> None:
        self.ahead, self.elapsed, self.asked = ahead, 1000.0, 0
        self._took = iter(took)
        self.away = False

    def time(self) -> tuple[int, int]:
        self.asked += 1
        if self.away:
            raise redis.ConnectionError("away")
        half = next(self._took, 0.0) / 2
        self.elapsed += half
        now = self.elapsed + self.ahead
        self.elapsed += half
        return int(now), round(now % 1 * 1_000_000)


def clock_of(server: Any, monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    monkeypatch.setattr(clock, "_elapsed", lambda: server.elapsed)
    return ServerClock(server)


def test_it_is_the_servers_whatever_the_hosts_says(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(HOUR)
    own = clock_of(server, monkeypatch)
    monkeypatch.setattr(time, "time", lambda: 0.5)
    assert own.now() == pytest.approx(1000 + HOUR)
    assert own.ahead_of_host() == pytest.approx(1000 + HOUR - 0.5)


def test_it_asks_seldom_and_counts_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(HOUR)
    own = clock_of(server, monkeypatch)
    own.now()
    server.elapsed += FRESH_SECONDS - 1
    server.ahead += 7.0
    assert own.now() == pytest.approx(1000 + HOUR + FRESH_SECONDS - 1)
    assert server.asked == 1
    server.elapsed += 2
    assert own.now() == pytest.approx(1000 + HOUR + FRESH_SECONDS + 1 + 7)
    assert server.asked == 2


def test_of_slow_answers_the_quickest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process was stopped between question and answer."""
    server = Server(HOUR, took=[60.0, QUICK_SECONDS / 2])
    assert clock_of(server, monkeypatch).now() == pytest.approx(server.elapsed + HOUR)
    assert server.asked == 2
    server = Server(HOUR, took=[9.0] * 10)
    clock_of(server, monkeypatch).now()
    assert server.asked == TRIES


def test_without_an_answer_the_last_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(HOUR)
    server.away = True
    own = clock_of(server, monkeypatch)
    with pytest.raises(redis.ConnectionError):
        own.now()
    server.away = False
    server.elapsed += FRESH_SECONDS + 1
    own.now()
    server.away = True
    server.elapsed += FRESH_SECONDS + 1
    assert own.now() == pytest.approx(server.elapsed + HOUR)
