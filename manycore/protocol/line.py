"""A connection of its own for round trips of a few commands: redis-py's pool and pipeline cost more than the server.

What is asked here may be asked again: a connection that was lost while nobody used it is made anew without a word.
"""

from __future__ import annotations

from typing import Any

import redis

from manycore.protocol.store import Store, is_junk


class Line:
    """For one thread of one process. Connects at first use."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: Any = None
        self._owed = 0
        """Answers that nobody has read."""
        self._used = False

    def round(self) -> Round:
        """The next round trip; what the last one left is dropped."""
        if self._owed:
            self._drop()
        return Round(self)

    def send(self, commands: list[tuple[Any, ...]]) -> None:
        """Raises redis-py's errors when the connection is lost."""
        if self._connection is None:
            pool = self._store.connection_pool
            self._connection = pool.connection_class(**pool.connection_kwargs)
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        self._owed += len(commands)

    def answers(self, commands: list[tuple[Any, ...]], sent: int) -> list[Any]:
        """What comes of these commands, of which so many were sent; an error that the server answers is in its place.

        Raises redis-py's errors when the connection is lost: whether they were run is unknown then.
        """
        try:
            try:
                return self._read(commands, sent)
            except redis.ConnectionError:
                if not self._used:
                    raise
                self._drop()
                return self._read(commands, 0)
        except BaseException:
            self._drop()
            raise

    def _read(self, commands: list[tuple[Any, ...]], sent: int) -> list[Any]:
        if commands[sent:]:
            self.send(commands[sent:])
        found = [self._answer() for _ in commands]
        self._used = True
        return [
            self._store.again_without_junk(args) if is_junk(answer) else answer
            for args, answer in zip(commands, found, strict=True)
        ]

    def _answer(self) -> Any:
        try:
            answer = self._connection.read_response()
        except redis.ResponseError as exc:
            answer = exc
        self._owed -= 1
        return answer

    def _drop(self) -> None:
        self._used, self._owed = False, 0
        if self._connection is not None:
            self._connection.disconnect()


class Round:
    """A few commands, queued as on a pipeline of redis-py."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._commands: list[tuple[Any, ...]] = []
        self._sent = 0

    def __len__(self) -> int:
        return len(self._commands)

    def eval(self, *args: Any) -> None:
        self._commands.append(("EVAL", *args))

    def evalsha(self, *args: Any) -> None:
        self._commands.append(("EVALSHA", *args))

    def get(self, key: str) -> None:
        self._commands.append(("GET", key))

    def push(self) -> None:
        """Send what is queued: the server begins with it while more is made ready."""
        try:
            self._line.send(self._commands[self._sent :])
            self._sent = len(self._commands)
        except redis.ConnectionError:
            self._sent = 0  # `execute` meets it too, and decides
            self._line.round()

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send the rest, and give all answers. Raises redis-py's errors; with `raise_on_error` those answered, too."""
        commands, sent = self._commands, self._sent
        self._commands, self._sent = [], 0
        answers = self._line.answers(commands, sent)
        for answer in answers if raise_on_error else ():
            if isinstance(answer, redis.ResponseError):
                raise answer
        return answers
