"""The Redis client of everything of ours. It survives what others leave under our keys.

Where a key of ours is of another type than what we keep there, or no number where we count, nobody of ours wrote it.
Each command on it would fail for as long as it stays: so it is taken away, and the command sent again. What we kept
there is lost, as if it had run into its TTL. What is of the right type and cannot be read is for whoever reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import redis
from redis.client import Pipeline

from manycore.protocol import keys

ENDS = ("EXPIRE", "PEXPIRE")
logger = logging.getLogger(__name__)


class Store(redis.Redis):
    """Single commands, and pipelines without transactions."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as exc:
            if not is_junk(exc):
                raise
            return self.execute_without_junk(args, options)

    def execute_without_junk(self, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Send a command again that has met junk, without that. Raises redis-py's errors."""
        for key in _keys_of(args):
            expected = keys.type_of(key.decode(errors="replace") if isinstance(key, bytes) else str(key))
            if expected is None:
                continue
            if self.type(key) not in (expected, b"none"):
                logger.warning("Under the key %.200r was something else than what we keep there; taken away", key)
                self.unlink(key)
            elif args[0] == "HINCRBY":
                self.hdel(key, args[2])
            elif args[0] == "INCRBY":
                self.unlink(key)
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def again_without_junk(self, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Likewise, for who has other commands beside it: an error that the server answers is the answer."""
        try:
            return self.execute_without_junk(args, options)
        except redis.ResponseError as exc:
            return exc

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> StorePipeline:
        return StorePipeline(self, transaction)


class StorePipeline(Pipeline):
    """Sends those of its commands again that have met a key of another type."""

    def __init__(self, store: Store, transaction: bool) -> None:
        super().__init__(store.connection_pool, store.response_callbacks, transaction, None)
        self._store = store

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = [(args, options) for args, options in self.command_stack]
        replies: list[Any] = super().execute(raise_on_error=False)
        met = {place for place, reply in enumerate(replies) if is_junk(reply)}
        cleared = {key for place in met for key in _keys_of(commands[place][0])}
        for place, (args, options) in enumerate(commands):
            if place in met or (args[0] in ENDS and args[1] in cleared):  # what is made anew needs its end anew
                replies[place] = self._store.again_without_junk(args, options)
        if raise_on_error:
            self.raise_first_error(commands, replies)  # type: ignore[no-untyped-call]
        return replies


def is_junk(reply: Any) -> bool:
    """Whether a command failed for what it found: another type, or no number to count on."""
    return isinstance(reply, redis.ResponseError) and any(
        word in str(reply) for word in ("WRONGTYPE", "not an integer")
    )


def _keys_of(args: Sequence[Any]) -> Sequence[Any]:
    """The keys that a command names, of those commands that we send."""
    command, *rest = args
    if command in ("EVAL", "EVALSHA"):
        return rest[2 : 2 + int(rest[1])]
    if command == "XREAD":
        named = rest[rest.index(b"STREAMS") + 1 :]
        return named[: len(named) // 2]
    return rest[:1]
