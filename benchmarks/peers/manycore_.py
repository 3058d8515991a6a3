"""manycore's local cluster, with nothing tuned: it has no setting that would help."""

from __future__ import annotations

from benchmarks.peers.executor import ExecutorPeer


class Manycore(ExecutorPeer):
    """`Cluster(workers=n)`: its own server and its own worker."""

    title = "manycore"
    package = "manycore"
    module = "manycore"

    def open(self) -> None:
        from manycore import Cluster

        self.executor = Cluster(workers=self.setup.workers)
