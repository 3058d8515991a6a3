"""The client's round trips: several commands at once, over a connection that is kept (`line`).

A call has two round trips at its client, so what one costs there counts. Errors are those of a pipeline without a
transaction, and replies as redis-py gives them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

from redis.exceptions import ResponseError

from manycore.protocol.line import Command, Line
from manycore.protocol.store import Store, is_junk

IDLE_SECONDS = 1.0
"""A connection that was idle for so long may have been closed by the server: it is looked at before it is used."""


class Wire:
    """For any number of threads, one at a time. The pool of `store` closes its connection, as all of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._line = Line(store, store.connection_pool.get_connection)
        self._used_at = 0.0

    def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Their replies. Raises redis-py's errors: the first of those replies that are one, after all were read."""
        with self._turn:
            if monotonic() - self._used_at > IDLE_SECONDS:
                self._line.drop_stale()
            self._line.send(commands)
            replies = self._line.read()
            self._used_at = monotonic()
        found: list[Any] = []
        for command, reply in zip(commands, replies, strict=True):
            if not isinstance(reply, ResponseError):
                found.append(self._read(command[0], reply))
            elif is_junk(reply):
                found.append(self._store.execute_without_junk(command, {}))
            else:
                raise reply
        return found

    def _read(self, name: str, reply: Any) -> Any:
        """A reply as redis-py gives it."""
        callbacks: Any = self._store.response_callbacks
        parse = callbacks.get(name)
        return reply if parse is None else parse(reply)
