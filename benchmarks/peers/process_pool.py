"""`ProcessPoolExecutor`. By default `map` sends each item for itself.

Best: a `chunksize` for each workload, and an `initializer` with what all calls need. Python's documentation of
`Executor.map`: "For very long iterables, using a large value for chunksize can significantly improve performance
compared to the default size of 1." A pool that forks hands its `initargs` over without a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.peers.executor import ExecutorPeer
from benchmarks.peers.peer import BATCHED
from benchmarks.workloads import keep, size_of_kept


class ProcessPool(ExecutorPeer):
    """The standard library's pool of processes."""

    title = "ProcessPoolExecutor"
    best = "chunksize, the best of some; initializer"
    best_changes = BATCHED | {"broadcast"}
    chunked = True

    def open(self) -> None:
        self.executor = ProcessPoolExecutor(self.setup.workers)

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        if not self.setup.best:
            return super().broadcast(value, items)
        with ProcessPoolExecutor(self.setup.workers, initializer=keep, initargs=(value,)) as pool:
            return list(pool.map(size_of_kept, items))
