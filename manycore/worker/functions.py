"""The shipped functions that one process keeps built: the last used ones, bounded by number and by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from manycore.worker.states import Setup

MAX_FUNCTIONS = 64
MAX_BYTES = 64 << 20
"""Of their pickles: what they hold takes about as much memory again. The one in use stays, however large it is."""


class Function(NamedTuple):
    """A shipped function (None for a task that workers know by name), its keyword arguments, and its initializer.

    With `late`, keyword arguments in which large objects stand: they are rebuilt from it for each chunk, so that none
    is held when it was freed.
    """

    call: Callable[..., Any] | None
    kwargs: dict[str, Any]
    setup: Setup | None = None
    late: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    function: Function
    size: int
    code: str | None


class FunctionCache:
    """Not for several threads at once: who uses it holds a lock. What is dropped is given, to end outside of it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def get(self, digest: str) -> Function | None:
        """The function of this digest, if it is here; it counts as used."""
        kept = self._kept.get(digest)
        if kept is None:
            return None
        self._kept.move_to_end(digest)
        return kept.function

    def add(self, digest: str, function: Function, size: int, code: str | None) -> list[Function]:
        """Keep a function that was built from `size` bytes and the modules of `code`; gives what had to go."""
        self._kept[digest] = _Kept(function, size, code)
        self._bytes += size
        gone = []
        while len(self._kept) > MAX_FUNCTIONS or (self._bytes > MAX_BYTES and len(self._kept) > 1):
            gone.append(self._drop(next(iter(self._kept))))
        return gone

    def forget(self, code: str) -> list[Function]:
        """Drop the functions that were built from these modules; gives them."""
        return [self._drop(digest) for digest, kept in list(self._kept.items()) if kept.code == code]

    def _drop(self, digest: str) -> Function:
        kept = self._kept.pop(digest)
        self._bytes -= kept.size
        return kept.function
