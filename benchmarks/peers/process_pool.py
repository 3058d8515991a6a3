"""`ProcessPoolExecutor`. By default `map` sends each item for itself.

Best: a `chunksize` for each workload. Python's documentation of `Executor.map`: "For very long iterables, using a large
value for chunksize can significantly improve performance compared to the default size of 1."
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from benchmarks.peers.executor import ExecutorPeer
from benchmarks.peers.peer import BATCHED


class ProcessPool(ExecutorPeer):
    """The standard library's pool of processes."""

    title = "ProcessPoolExecutor"
    best = "chunksize, the best of some"
    best_changes = BATCHED
    chunked = True

    def open(self) -> None:
        self.executor = ProcessPoolExecutor(self.setup.workers)
