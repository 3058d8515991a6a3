"""joblib on loky, its default backend. By default it finds the size of its batches itself (`batch_size="auto"`).

Best: `batch_size` by hand and `pre_dispatch="all"` (its documentation of `Parallel`), and large values as NumPy arrays,
which alone it maps into all workers (its "Working with numerical data in shared memory"). A single call is one
of loky's own executor, as joblib makes it: `Parallel` has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import BATCHED, Function, Peer
from benchmarks.workloads import size_of


class Joblib(Peer):
    """`Parallel` within `with`, which keeps its workers from call to call."""

    title = "joblib/loky"
    package = module = "joblib"
    best = "batch_size, the best of some; pre_dispatch='all'; arrays"
    best_changes = BATCHED | {"broadcast"}
    chunked = True

    def open(self) -> None:
        from joblib import Parallel, delayed
        from joblib.executor import get_memmapping_executor

        self.delayed, self.parallel = delayed, Parallel
        self.executor = get_memmapping_executor(self.setup.workers)

    def close(self) -> None:
        self.executor.shutdown()

    def submit(self, function: Function, item: Any) -> Any:
        return self.executor.submit(function, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.result() for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        options: dict[str, Any] = {} if chunksize is None else {"batch_size": chunksize, "pre_dispatch": "all"}
        call = self.delayed(function)
        results: list[Any] = self.parallel(n_jobs=self.setup.workers, **options)(call(item) for item in items)
        return results

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        call = self.delayed(size_of)
        shared: Any = value
        if self.setup.best:
            import numpy

            shared = numpy.frombuffer(value, dtype=numpy.uint8)
        results: list[int] = self.parallel(n_jobs=self.setup.workers)(call(shared, item) for item in items)
        return results
