"""`multiprocessing.Pool`. By default `map` cuts its input into four chunks a process.

Best: a `chunksize` for each workload, and an `initializer` with what all calls need (Python's documentation of
`Pool.map`, `imap` and `Pool`); a pool that forks hands its `initargs` over without a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from typing import Any

from benchmarks.peers.peer import BATCHED, RESULT_SECONDS, Function, Peer
from benchmarks.workloads import keep, size_of, size_of_kept


class MultiprocessingPool(Peer):
    """The older pool of the standard library."""

    title = "multiprocessing.Pool"
    module = "multiprocessing"
    best = "chunksize, the best of some; initializer"
    best_changes = BATCHED | {"broadcast"}
    chunked = True

    def open(self) -> None:
        self.pool = get_context().Pool(self.setup.workers)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()

    def submit(self, function: Function, item: Any) -> Any:
        return self.pool.apply_async(function, (item,))

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.get(RESULT_SECONDS) for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        return self.pool.map(function, items, chunksize)

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        if not self.setup.best:
            return self.pool.starmap(size_of, [(value, item) for item in items])
        with get_context().Pool(self.setup.workers, keep, (value,)) as pool:
            return pool.map(size_of_kept, items)
