"""The one time that all hosts agree on: the server's. Whatever one process dates and another compares is of this clock.

Hosts' own clocks may be hours apart, and may jump. So the server is asked now and then how late it is; in between, the
time since is counted by a clock of this machine that never jumps.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import redis

FRESH_SECONDS = 5.0
"""How often the server is asked: its own clock may be set, too."""
QUICK_SECONDS = 0.25
TRIES = 3
"""An answer that took longer says little: it is asked again, so often."""


class ServerClock:
    """Of one process. Threads may share it."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client
        self._asked_at = float("-inf")
        self._ahead: float | None = None

    def now(self) -> float:
        """Epoch seconds. Raises redis-py's errors while the server has never answered; later what it said serves."""
        if self._ahead is None:
            self._ahead = self._ask()
        elif _elapsed() - self._asked_at > FRESH_SECONDS:
            with suppress(redis.RedisError):
                self._ahead = self._ask()
        return _elapsed() + self._ahead

    def ahead_of_host(self) -> float:
        """By how many seconds it is later at the server than by this host's clock. Raises as `now` does."""
        return self.now() - time.time()

    def _ask(self) -> float:
        """By how much the server is ahead of the clock that never jumps."""
        self._asked_at = _elapsed()
        least, ahead = float("inf"), 0.0
        for _ in range(TRIES):
            before = _elapsed()
            seconds, microseconds = self._redis.time()
            took = _elapsed() - before
            if took < least:
                least, ahead = took, seconds + microseconds / 1e6 - (before + took / 2)
            if took < QUICK_SECONDS:
                break
        return ahead


def _elapsed() -> float:
    """Seconds that also count while the machine sleeps, where its system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
