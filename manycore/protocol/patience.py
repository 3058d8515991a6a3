"""Rides out a server that is away, takes no writes, or is full: repeats a step until it was taken, for so long.

What is repeated must bear it: a step that failed may have been taken all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, TypeVar

import redis

from manycore.errors import ConnectionFailed, ManycoreError, ServerFull
from manycore.protocol.broker import AWAY, FULL, RECONNECT_SECONDS, reason
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
T = TypeVar("T")
WARNING_SECONDS = 5.0
"""How often it says that it is still waiting."""


class Trouble(NamedTuple):
    """What a step raises, sorted by what follows from it."""

    final: tuple[type[Exception], ...]
    """Raised at once: waiting cures nothing."""
    full: tuple[type[Exception], ...]
    """Waited for once; from then on `ServerFull` at once, until there is room."""
    away: tuple[type[Exception], ...]
    """Waited for: the server is away, or answers too late to know whether the step was taken."""


OF_CLIENTS = Trouble((redis.AuthenticationError,), (FULL,), (*AWAY, ConnectionError))
OF_WORKERS = Trouble((ManycoreError,), (), (redis.RedisError, OSError))
"""A worker has nobody to tell: whatever it is, it waits, and then gives its message back. What it refuses itself is no
trouble of the server, although some of that is an `OSError` too."""


class Patience:
    """`pause` waits for so many seconds and says whether to give up now."""

    def __init__(self, settings: Settings, pause: Callable[[float], bool], trouble: Trouble = OF_CLIENTS) -> None:
        self._trouble = trouble
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
            except self._trouble.final:
                raise
            except self._trouble.full as exc:
                # Once it has been waited for in vain, what comes after is refused at once: until there is room.
                if self._is_full or self._wait(exc, deadline):
                    self._is_full = True
                    raise ServerFull(self._place, reason(exc)) from exc
            except self._trouble.away as exc:
                if self._wait(exc, deadline):
                    raise ConnectionFailed(self._place, reason(exc)) from exc
            else:
                self._note_return()
                return result

    @property
    def waiting(self) -> bool:
        """Whether the last step has not been taken yet."""
        return self._lost_at is not None

    def _wait(self, exc: Exception, deadline: float) -> bool:
        """Wait a moment; True if it is time to give up."""
        now = monotonic()
        self._lost_at = self._lost_at or now
        if now > self._next_warning:
            what = "full" if isinstance(exc, FULL) else "away"  # also to a worker, which waits for both alike
            logger.warning("The server is %s (%s); waiting for it", what, reason(exc))
            self._next_warning = now + WARNING_SECONDS
        return self._pause(min(RECONNECT_SECONDS, max(0.0, deadline - now))) or monotonic() >= deadline

    def _note_return(self) -> None:
        lost_at, self._lost_at, self._is_full = self._lost_at, None, False
        if lost_at is not None:
            logger.warning("The server is back after %.1f s, and takes new work", monotonic() - lost_at)
