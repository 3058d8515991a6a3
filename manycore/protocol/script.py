"""A step that must be atomic: a Lua file beside the Python that runs it, whose header names its keys and arguments.

A script travels once: from then on its digest names it. A server that was started again is told it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError

T = TypeVar("T")


class Script:
    """`<noun>.lua` of a package (`__package__`), read when it is made."""

    def __init__(self, package: str | None, noun: str) -> None:
        lines = (files(package or "") / f"{noun}.lua").read_text().splitlines()
        self._text = "\n".join(line for line in lines if not line.startswith("--"))  # its header stays here
        self._digest = sha1(self._text.encode(), usedforsecurity=False).hexdigest()  # the server's own name for it

    def run(self, client: Redis, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """What the script returns. Raises redis-py's errors: after a lost connection it may have run all the same."""
        try:
            return client.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:  # the first time, and after a restart of the server
            return client.eval(self._text, len(keys), *keys, *args)

    def queue(self, pipe: Any, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Queue it on a pipeline whose execution is a step of `knowing`."""
        return pipe.evalsha(self._digest, len(keys), *keys, *args)

    def queue_whole(self, pipe: Any, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Queue it for a server that does not know it."""
        return pipe.eval(*self.whole(keys, args))

    def whole(self, keys: Sequence[Any], args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments of `EVAL`, which runs it on a server that may not know it."""
        return self._text, len(keys), *keys, *args

    def named(self, keys: Sequence[Any], args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments of `EVALSHA`, which fails on a server that does not know it."""
        return self._digest, len(keys), *keys, *args

    def tell(self, client: Redis) -> None:
        """Let the server know it."""
        client.script_load(self._text)


def knowing(client: Redis, step: Callable[[], T], *scripts: Script) -> T:
    """What `step` gives, which queues these scripts. A server that knows them not is told, and the step repeated."""
    try:
        return step()
    except NoScriptError:
        for script in scripts:
            script.tell(client)
        return step()
