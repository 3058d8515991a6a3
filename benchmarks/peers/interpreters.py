"""`InterpreterPoolExecutor`: threads, each with an interpreter and a GIL of its own. Python 3.14 brought it.

Best: a `chunksize` for each workload, as for every `Executor.map`.
"""

from __future__ import annotations

import concurrent.futures

from benchmarks.peers.executor import ExecutorPeer
from benchmarks.peers.peer import BATCHED


class Interpreters(ExecutorPeer):
    """Looked up by name: type checkers of an older Python do not know it."""

    title = "InterpreterPool"
    module = "concurrent.interpreters"
    best = "chunksize, the best of some"
    best_changes = BATCHED
    chunked = True

    def open(self) -> None:
        kind = getattr(concurrent.futures, "InterpreterPoolExecutor")  # noqa: B009
        self.executor = kind(self.setup.workers)
