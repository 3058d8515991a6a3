"""huey on Redis, its consumer with processes (its documentation: for CPU-bound work).

Best: `notify_result=True`, with which a result wakes its caller instead of being polled for (release notes of 3.0), and
lists made by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from benchmarks import workloads
from benchmarks.peers.peer import BEST_VARIABLE, EVERYTHING, RESULT_SECONDS, URL_VARIABLE, Function, Peer, flat, parts


@cache
def application() -> tuple[Any, dict[str, Any]]:
    """The same in the client and in its workers: huey, and its tasks."""
    from huey import RedisHuey

    options = {"notify_result": True} if os.environ.get(BEST_VARIABLE) else {}
    huey = RedisHuey("benchmark", url=os.environ[URL_VARIABLE], **options)
    functions = (workloads.one, workloads.many, workloads.size_of)
    return huey, {function.__name__: huey.task()(function) for function in functions}


def __getattr__(name: str) -> Any:
    """huey's consumer finds it here, and whoever only reads this file needs no huey."""
    if name == "huey":
        return application()[0]
    raise AttributeError(name)


class Huey(Peer):
    """`huey_consumer -k process`."""

    title = "huey"
    package = module = "huey"
    needs_server = True
    best = "notify_result, lists made by hand"
    best_changes = EVERYTHING - {"import"}
    chunked = True

    def open(self) -> None:
        self.tasks = application()[1]
        workers = str(self.setup.workers)
        self.start("huey.bin.huey_consumer", "benchmarks.peers.huey_.huey", "-k", "process", "-w", workers, "-q")

    def submit(self, function: Function, item: Any) -> Any:
        return self.tasks["one"](function.__name__, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.get(blocking=True, timeout=RESULT_SECONDS) for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return super().map(function, items, None)
        many = self.tasks["many"]
        return flat(self.results([many(function.__name__, part) for part in parts(items, chunksize)]))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self.results([self.tasks["size_of"](value, item) for item in items])
