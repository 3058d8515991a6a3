"""One connection to the server that its owner keeps, and commands as they are, several in one round trip.

What redis-py does around a command costs more than the command: it takes a connection from a pool and gives it back,
asks each time whether that still lives, and a pipeline is an object of its own.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import redis

from manycore.protocol.store import Store, is_junk

Command = tuple[Any, ...]
TIMEVAL = struct.Struct("ll")
"""How the kernel takes a time, socket(7)."""


class Line:
    """For one thread at a time, of one process. Connects at first use, and again after whatever has broken it off:
    what comes next on such a connection would be the answer to that."""

    def __init__(self, store: Store, connected: Callable[[], Any] | None = None) -> None:
        """`connected` gives the connection; else it is one that ends with this object."""
        pool = store.connection_pool
        self.store = store
        self.is_proven = False
        """Whether this connection has answered before: lost then, it was lost, perhaps, while nobody used it."""
        self._connected = connected or partial(pool.connection_class, **pool.connection_kwargs)
        self._connection: Any = None
        self._is_connected = False
        self._owed = 0
        """Answers that nobody has read."""

    def round(self) -> Round:
        """The next round trip; what the last one left is dropped."""
        if self._owed:
            self.drop()
        return Round(self)

    def send(self, commands: Sequence[Command]) -> None:
        """Raises redis-py's errors when the connection is lost."""
        try:
            if not self._is_connected:
                self._connect()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except BaseException:
            self.drop()
            raise
        self._owed += len(commands)

    def read(self) -> list[Any]:
        """The answers to all that was sent; an error that the server answers is in its place.

        Raises redis-py's errors when the connection is lost: whether the commands were run is unknown then.
        """
        found: list[Any] = []
        try:
            for _ in range(self._owed):
                try:
                    found.append(self._connection.read_response())
                except redis.ResponseError as exc:
                    found.append(exc)
        except BaseException:
            self.drop()
            raise
        self._owed, self.is_proven = 0, True
        return found

    def drop(self) -> None:
        """Use this connection no more."""
        self._owed, self.is_proven, self._is_connected = 0, False, False
        if self._connection is not None:
            self._connection.disconnect()

    def drop_stale(self) -> None:
        """The same, if the server has closed it, or said something that nobody asked for."""
        try:
            is_stale = self._connection is not None and self._connection.can_read()
        except (OSError, redis.RedisError):
            is_stale = True
        if is_stale:
            self.drop()

    def _connect(self) -> None:
        if self._connection is None:
            self._connection = self._connected()
        self._connection.connect()
        wait_in_kernel(self._connection)
        self._is_connected = True


def wait_in_kernel(connection: Any) -> None:
    """Let the kernel end what takes longer than this connection allows; redis-py then raises `ConnectionError`.

    Python asks, with a poll of its own, before each step on a socket that has a time limit. A thread beside an item
    lets go of the GIL for it, and to get that back costs both of them more than the step.
    """
    stream = connection._sock
    seconds = stream.gettimeout() if type(stream) is socket.socket else None  # not one of TLS
    if seconds and sys.platform == "linux":
        limit = TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        stream.settimeout(None)


class Round:
    """A few commands, queued as on a pipeline of redis-py.

    What is asked here may be asked again: a connection that was lost while nobody used it is made anew without a word.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._commands: list[Command] = []
        self._sent = 0

    def __len__(self) -> int:
        return len(self._commands)

    def eval(self, *args: Any) -> None:
        self._commands.append(("EVAL", *args))

    def evalsha(self, *args: Any) -> None:
        self._commands.append(("EVALSHA", *args))

    def get(self, key: str) -> None:
        self._commands.append(("GET", key))

    def set(self, key: str, value: bytes, *, ex: int) -> None:
        self._commands.append(("SET", key, value, "EX", ex))

    def xadd(self, stream: str, fields: Mapping[bytes, Any]) -> None:
        self._commands.append(("XADD", stream, "*", *chain.from_iterable(fields.items())))

    def push(self) -> None:
        """Send what is queued: the server begins with it while more is made ready."""
        try:
            self._line.send(self._commands[self._sent :])
            self._sent = len(self._commands)
        except redis.ConnectionError:
            self._sent = 0  # `execute` meets it too, and decides

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send the rest, and give all answers. Raises redis-py's errors; with `raise_on_error` those answered, too."""
        commands, sent = self._commands, self._sent
        self._commands, self._sent = [], 0
        was_proven = self._line.is_proven
        try:
            answers = self._answers(commands, sent)
        except redis.ConnectionError:
            if not was_proven:
                raise
            answers = self._answers(commands, 0)
        for answer in answers if raise_on_error else ():
            if isinstance(answer, redis.ResponseError):
                raise answer
        return answers

    def _answers(self, commands: Sequence[Command], sent: int) -> list[Any]:
        if commands[sent:]:
            self._line.send(commands[sent:])
        store = self._line.store
        return [
            store.again_without_junk(command, {}) if is_junk(answer) else answer
            for command, answer in zip(commands, self._line.read(), strict=True)
        ]
