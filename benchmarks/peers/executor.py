"""What the peers with the interface of `concurrent.futures.Executor` share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from itertools import repeat
from typing import Any

from benchmarks.peers.peer import Function, Peer
from benchmarks.workloads import size_of


class ExecutorPeer(Peer):
    """A peer whose `open` sets `executor`."""

    executor: Executor

    def close(self) -> None:
        self.executor.shutdown()

    def submit(self, function: Function, item: Any) -> Any:
        return self.executor.submit(function, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.result() for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return self.executor.map(function, items)
        return self.executor.map(function, items, chunksize=chunksize)

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self.executor.map(size_of, repeat(value, len(items)), items)
