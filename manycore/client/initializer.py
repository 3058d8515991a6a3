"""What a caller wants done once in each worker process before its items: `initializer` with `initargs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from manycore.protocol import packing
from manycore.protocol.pickling import dumps


@dataclass(frozen=True, slots=True)
class Initializer:
    """Of a cluster or of one batch. Its arguments are pickled when a program leaves that names it."""

    function: Callable[..., Any]
    args: tuple[Any, ...]

    @classmethod
    def of(cls, initializer: Callable[..., Any] | None, initargs: Iterable[Any]) -> Initializer | None:
        """None if there is none. Raises `TypeError` as the standard library does."""
        if initializer is None:
            return None
        if not callable(initializer):
            raise TypeError("initializer must be a callable")
        return cls(initializer, tuple(initargs))

    @property
    def name(self) -> str:
        return packing.name_of(self.function)

    def digest(self, code: str) -> str:
        """What it is known by on the workers, where its modules come from the archive `code`. Raises `NotPicklable`."""
        blob = dumps((self.function, self.args), f"The initializer {self.name} with its initargs")
        return blake2b(blob, digest_size=16, key=code.encode()).hexdigest()
