"""A step that must be atomic: a Lua file beside the Python that runs it, whose header names its keys and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError


class Script:
    """`<noun>.lua` of a package (`__package__`), read when it is made."""

    def __init__(self, package: str | None, noun: str) -> None:
        self._text = (files(package or "") / f"{noun}.lua").read_text()
        self._digest = sha1(self._text.encode(), usedforsecurity=False).hexdigest()  # the server's own name for it

    def run(self, client: Redis, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """What the script returns. Raises redis-py's errors: after a lost connection it may have run all the same."""
        try:
            return client.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:  # the first time, and after a restart of the server
            return client.eval(self._text, len(keys), *keys, *args)
