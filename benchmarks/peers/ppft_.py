"""Parallel Python, in its living fork `ppft`: functions travel as source, each call for itself.

Best: fewer, larger jobs. It has no chunks, so lists are made by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import BATCHED, Function, Peer, flat, parts

WORKLOADS = ("benchmarks.workloads",)


# Their source is all that a worker gets of them: no names but builtins and the modules that `submit` is told.
def one(name: str, item: object) -> object:
    return benchmarks.workloads.one(name, item)  # type: ignore[name-defined]  # noqa: F821


def many(name: str, items: list[object]) -> object:
    return benchmarks.workloads.many(name, items)  # type: ignore[name-defined]  # noqa: F821


def sized(value: bytes, item: int) -> object:
    return benchmarks.workloads.size_of(value, item)  # type: ignore[name-defined]  # noqa: F821


class ParallelPython(Peer):
    """`ppft.Server`. What its functions name is imported by the worker, from the modules that `submit` is told."""

    title = "Parallel Python"
    package = module = "ppft"
    best = "lists made by hand"
    best_changes = BATCHED
    chunked = True

    def open(self) -> None:
        import ppft

        self.server = ppft.Server(ncpus=self.setup.workers)

    def close(self) -> None:
        self.server.destroy()

    def submit(self, function: Function, item: Any) -> Any:
        return self.server.submit(one, (function.__name__, item), modules=WORKLOADS)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call() for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return super().map(function, items, None)
        lists = parts(items, chunksize)
        calls = [self.server.submit(many, (function.__name__, part), modules=WORKLOADS) for part in lists]
        return flat(call() for call in calls)

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self.results([self.server.submit(sized, (value, item), modules=WORKLOADS) for item in items])
