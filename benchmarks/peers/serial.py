"""One process, one call after the other: what the answers are checked against, and the price of doing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import Function, Peer
from benchmarks.workloads import size_of


class Serial(Peer):
    """A loop."""

    title = "serial"
    module = "builtins"
    baseline = True

    def open(self) -> None:
        pass

    def submit(self, function: Function, item: Any) -> Any:
        return function(item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return calls

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        return map(function, items)

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return [size_of(value, item) for item in items]
