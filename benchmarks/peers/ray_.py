"""Ray on one machine, remote functions of one CPU each.

Best: items batched by hand and `ray.put` once for what all calls need. Its documentation, anti-patterns:
"over-parallelizing with too fine-grained tasks harms speedup", "passing the same large argument by value repeatedly".
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from benchmarks.peers.peer import BATCHED, Function, Peer, flat, parts
from benchmarks.workloads import each, size_of


class Ray(Peer):
    """`ray.init` and `ray.remote`."""

    title = "Ray"
    package = module = "ray"
    best = "lists made by hand, ray.put"
    best_changes = BATCHED | {"broadcast"}
    chunked = True

    def open(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        import ray

        ray.init(
            num_cpus=self.setup.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=2 << 30,
        )
        self.ray = ray
        self.remote = cache(ray.remote)

    def close(self) -> None:
        self.ray.shutdown()

    def submit(self, function: Function, item: Any) -> Any:
        return self.remote(function).remote(item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        results: list[Any] = self.ray.get(list(calls))
        return results

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return super().map(function, items, None)
        call = self.remote(each)
        return flat(self.results([call.remote(function, part) for part in parts(items, chunksize)]))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        shared = self.ray.put(value) if self.setup.best else value
        call = self.remote(size_of)
        return self.results([call.remote(shared, item) for item in items])
