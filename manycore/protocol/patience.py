"""Rides out a server that is away, takes no writes, or is full: repeats a step until it was taken, for so long.

What is repeated must bear it: a step that failed may have been taken all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import redis
from kombu.exceptions import OperationalError

from manycore.errors import ConnectionFailed, ServerFull
from manycore.protocol.broker import AWAY, FULL, RECONNECT_SECONDS, reason
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
T = TypeVar("T")
WARNING_SECONDS = 5.0
"""How often it says that it is still waiting."""
LOST = (*AWAY, OperationalError, ConnectionError)
"""What a step raises when the server is away, or answers too late to know whether it was taken."""


class Patience:
    """Of one thread. `pause` waits for so many seconds and says whether to give up now."""

    def __init__(self, settings: Settings, pause: Callable[[float], bool]) -> None:
        self._seconds = settings.connection_seconds
        self._place = redacted(settings.url or "")
        self._pause = pause
        self._lost_at: float | None = None
        self._next_warning = 0.0
        self._is_full = False

    def ride_out(self, step: Callable[[], T]) -> T:
        """What `step` gives, once it does. Raises `ConnectionFailed` or `ServerFull` after `connection_seconds`."""
        deadline = monotonic() + self._seconds
        while True:
            try:
                result = step()
            except redis.AuthenticationError:
                raise
            except FULL as exc:
                # Once it has been waited for in vain, what comes after is refused at once: until there is room.
                if self._is_full or self._wait("full", exc, deadline):
                    self._is_full = True
                    raise ServerFull(self._place, reason(exc)) from exc
            except LOST as exc:
                if self._wait("away", exc, deadline):
                    raise ConnectionFailed(self._place, exc) from exc
            else:
                self._note_return()
                return result

    @property
    def waiting(self) -> bool:
        """Whether the last step has not been taken yet."""
        return self._lost_at is not None

    def _wait(self, what: str, exc: Exception, deadline: float) -> bool:
        """Wait a moment; True if it is time to give up."""
        now = monotonic()
        self._lost_at = self._lost_at or now
        if now > self._next_warning:
            logger.warning("The server is %s (%s); waiting for it", what, reason(exc))
            self._next_warning = now + WARNING_SECONDS
        return self._pause(min(RECONNECT_SECONDS, max(0.0, deadline - now))) or monotonic() >= deadline

    def _note_return(self) -> None:
        if self._lost_at is not None:
            logger.warning("The server is back after %.1f s, and takes new work", monotonic() - self._lost_at)
        self._lost_at, self._is_full = None, False
