"""ipyparallel: a controller, engines, and a load-balanced view of them.

Best: `chunksize` of the view's `map`, and `push` to all engines for what all calls need (its documentation, "The task
interface" and "The direct interface").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import BATCHED, RESULT_SECONDS, Function, Peer
from benchmarks.workloads import size_of


def size_of_pushed(item: int) -> int:
    """As `size_of`, of the value that was pushed into the engine."""
    from IPython import get_ipython  # the engine's

    return size_of(get_ipython().user_ns["pushed"], item)


class Ipyparallel(Peer):
    """`Cluster`, `load_balanced_view`."""

    title = "ipyparallel"
    package = module = "ipyparallel"
    best = "chunksize, the best of some; push"
    best_changes = BATCHED | {"broadcast"}
    chunked = True

    def open(self) -> None:
        os.environ["IPYTHONDIR"] = str(self.setup.folder)
        import ipyparallel

        self.cluster = ipyparallel.Cluster(n=self.setup.workers, log_level=40)
        self.client = self.cluster.start_and_connect_sync(activate=False)
        self.view = self.client.load_balanced_view()

    def close(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()

    def submit(self, function: Function, item: Any) -> Any:
        return self.view.apply_async(function, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.get(RESULT_SECONDS) for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        results: list[Any] = self.view.map_sync(function, items, chunksize=chunksize or 1)
        return results

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        if not self.setup.best:
            return self.results([self.view.apply_async(size_of, value, item) for item in items])
        self.client[:].push({"pushed": value}, block=True)
        return self.results([self.view.apply_async(size_of_pushed, item) for item in items])
