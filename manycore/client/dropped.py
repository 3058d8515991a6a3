"""Learns that nobody holds an object any more."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class Dropped(weakref.ref[Any]):
    """Once the object is gone, `later` gets this, which then calls `then`.

    Not a `__del__`: that is Python's, so Ctrl-C may come in it, and nobody would ever know that it was called. The
    garbage collector does so anywhere, under any lock: `later` only enqueues.
    """

    __slots__ = ("_then",)

    def __new__(cls, held: object, later: Callable[[Any], object], _then: Callable[[], object]) -> Dropped:
        return super().__new__(cls, held, later)

    def __init__(self, held: object, later: Callable[[Any], object], then: Callable[[], object]) -> None:
        super().__init__(held, later)  # type: ignore[call-arg]
        self._then = then

    def __call__(self) -> None:
        self._then()
