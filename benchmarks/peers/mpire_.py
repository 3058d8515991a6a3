"""mpire. By default each `map` starts its workers and ends them, and cuts its input into 64 chunks a worker.

Best: `keep_alive=True`, a `chunk_size` for each workload, and `shared_objects` for what all calls need (its
documentation: "Keep alive", "Task chunking", "Shared objects").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import BATCHED, RESULT_SECONDS, Function, Peer
from benchmarks.workloads import size_of


class Mpire(Peer):
    """`WorkerPool`."""

    title = "mpire"
    package = module = "mpire"
    best = "keep_alive, chunk_size, shared_objects"
    best_changes = BATCHED | {"small", "payload", "broadcast"}
    chunked = True

    def open(self) -> None:
        from mpire import WorkerPool

        self.new_pool = WorkerPool
        self.pool = WorkerPool(self.setup.workers, keep_alive=self.setup.best)

    def close(self) -> None:
        self.pool.terminate()

    def submit(self, function: Function, item: Any) -> Any:
        return self.pool.apply_async(function, (item,))

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.get(RESULT_SECONDS) for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        results: list[Any] = self.pool.map(function, items, chunk_size=chunksize)
        return results

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        if not self.setup.best:
            results: list[int] = self.pool.map(size_of, [(value, item) for item in items])
            return results
        with self.new_pool(self.setup.workers, shared_objects=value) as pool:
            results = pool.map(size_of, items)
            return results
