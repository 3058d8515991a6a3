"""Dask's futures on a `LocalCluster` of processes with one thread each, as its documentation advises for pure Python.

Best: `Client.map(batch_size=)` and `scatter(broadcast=True)` for what all calls need (its documentation of both, and
"Best Practices": "avoid very many tasks"); lists by hand beyond that, as batches still are a task an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import BATCHED, Function, Peer, flat, parts
from benchmarks.workloads import each, size_of


class Dask(Peer):
    """`distributed.Client`."""

    title = "Dask"
    package = "distributed"
    module = "dask.distributed"
    best = "lists made by hand, scatter(broadcast=True)"
    best_changes = BATCHED | {"broadcast"}
    chunked = True

    def open(self) -> None:
        from dask.distributed import Client, LocalCluster

        self.cluster = LocalCluster(
            n_workers=self.setup.workers,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(self.setup.folder),
        )
        self.client = Client(self.cluster)

    def close(self) -> None:
        self.client.close()
        self.cluster.close()

    def submit(self, function: Function, item: Any) -> Any:
        return self.client.submit(function, item, pure=False)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        results: list[Any] = self.client.gather(list(calls))
        return results

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return self.results(self.client.map(function, items, pure=False))
        lists = parts(items, chunksize)
        return flat(self.results(self.client.map(each, [function] * len(lists), lists, pure=False)))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        shared = self.client.scatter(value, broadcast=True, hash=False) if self.setup.best else value
        return self.results([self.client.submit(size_of, shared, item, pure=False) for item in items])
