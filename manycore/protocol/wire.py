"""One connection to the server that its owner keeps, and commands as they are, several in one round trip.

What redis-py does around a command costs more than the command: it takes a connection from a pool and gives it back,
asks each time whether that still lives, and a pipeline is an object of its own. A call has two round trips at its
client, so there that counts. Errors are those of a pipeline without a transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

from redis.exceptions import RedisError, ResponseError

from manycore.protocol.store import Store, is_junk

IDLE_SECONDS = 1.0
"""A connection that was idle for so long may have been closed by the server: it is looked at before it is used."""
Command = tuple[Any, ...]


class Wire:
    """For any number of threads, one at a time. The pool of `store` closes its connection, as all of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._connection: Any = None
        self._used_at = 0.0

    def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Their replies. Raises redis-py's errors: the first of those replies that are one, after all were read."""
        with self._turn:
            replies = self._exchanged(commands)
        found: list[Any] = []
        for command, reply in zip(commands, replies, strict=True):
            if not isinstance(reply, ResponseError):
                found.append(self._read(command[0], reply))
            elif is_junk(reply):
                found.append(self._store.execute_without_junk(command, {}))
            else:
                raise reply
        return found

    def _exchanged(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connected()
        replies: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except ResponseError as exc:
                    replies.append(exc)
        except BaseException:  # what comes next on it would be the answer to these
            connection.disconnect()
            raise
        self._used_at = monotonic()
        return replies

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._store.connection_pool.get_connection()
        elif monotonic() - self._used_at > IDLE_SECONDS and self._is_stale():
            self._connection.disconnect()  # it connects again by itself
        return self._connection

    def _is_stale(self) -> bool:
        """Whether the server has closed it, or said something that nobody asked for."""
        try:
            return bool(self._connection.can_read())
        except (OSError, RedisError):
            return True

    def _read(self, name: str, reply: Any) -> Any:
        """A reply as redis-py gives it."""
        callbacks: Any = self._store.response_callbacks
        parse = callbacks.get(name)
        return reply if parse is None else parse(reply)
