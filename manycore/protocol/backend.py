"""Celery's Redis backend, which takes no result for that of another call: who can write there may have copied it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from celery.backends.redis import RedisBackend
from kombu.exceptions import DecodeError

from manycore.errors import MessageRefused
from manycore.protocol.results import head_of
from manycore.protocol.signing import Keyring


class ResultBackend(RedisBackend):
    """For the applications of `app.create_app`. A result that is not its call's raises `MessageRefused`."""

    supports_result_compression = False  # nothing is decompressed before its signature was checked

    @cached_property
    def keyring(self) -> Keyring:
        keyring: Keyring = self.app.settings.keyring()
        return keyring

    def get(self, key: Any) -> Any:
        return self.owned(key, super().get(key))

    def mget(self, keys: Sequence[Any]) -> list[Any]:
        return [self.owned(key, found) for key, found in zip(keys, super().mget(keys), strict=True)]

    def decode(self, payload: Any) -> Any:
        """As `get` does: kombu wraps what our decoder raises, and which of the two reads a result first is chance."""
        try:
            return super().decode(payload)
        except DecodeError as exc:
            if isinstance(exc.__context__, MessageRefused):
                raise exc.__context__ from None
            raise

    def owned(self, key: Any, found: bytes | None) -> bytes | None:
        """What was found at this key, if it is a call's: its own result. Raises `MessageRefused`."""
        name = self.key_t(key)
        if found is None or not name.startswith(self.task_keyprefix):
            return found
        answers = head_of(self.keyring, found)["task_id"]
        if not isinstance(answers, str) or self.get_key_for_task(answers) != name:
            raise MessageRefused(f"it was signed as the result of {answers}, and was found at {name!r:.300}")
        return found
