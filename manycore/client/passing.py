"""How much of a home the arguments that pass through it may take: a part, so that results find room, and they leave."""

from __future__ import annotations

from collections.abc import Iterable

from manycore.errors import ObjectStoreFull
from manycore.protocol.home import Home

SHARE = 2
"""All arguments together take at most this part (half) of the room; a single one may take all that is left."""


class Passing:
    """Of one client. Threads may share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._bytes: dict[str, int] = {}

    def note(self, name: str, size: int) -> None:
        """This argument lies there now."""
        self._bytes[name] = size

    def forget(self, names: Iterable[str]) -> None:
        """Nobody needs these any more, if they are arguments."""
        for name in names:
            self._bytes.pop(name, None)

    def may_grow(self, size: int) -> bool:
        """Whether another one of this size keeps to the part."""
        taken = sum(list(self._bytes.values()))
        return not taken or taken + size <= self._home.max_bytes // SHARE

    def has_room(self, size: int) -> bool:
        """Whether another one of this size finds room now. Raises `OSError` if the home was taken away."""
        return self.may_grow(size) and self._home.used_bytes() + size <= self._home.max_bytes

    def check(self, size: int) -> None:
        """Raise `ObjectStoreFull` if another one takes more than the part, `OSError` if the home was taken away."""
        if not self.may_grow(size):
            home = self._home
            raise ObjectStoreFull(str(home.path), size, home.used_bytes(), home.max_bytes)
