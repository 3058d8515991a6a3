"""`ThreadPoolExecutor`: no process, no pickle, one GIL. It has no setting for work that holds it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.peers.executor import ExecutorPeer


class Threads(ExecutorPeer):
    """As many threads as there are workers elsewhere."""

    title = "threads"
    baseline = True

    def open(self) -> None:
        self.executor = ThreadPoolExecutor(self.setup.workers)
