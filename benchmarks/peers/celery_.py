"""Plain Celery: a prefork worker, and a `group` of one task an item, as JSON.

Best: `chunks` for many short items, pickle for bytes, `worker_prefetch_multiplier` of 64 for single short tasks and of
1 for long ones (its user guide: "Optimizing: prefetch limits", "Canvas: chunks").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from benchmarks import workloads
from benchmarks.peers.peer import BATCHED, BEST_VARIABLE, RESULT_SECONDS, URL_VARIABLE, Function, Peer, flat

SHORT = ("submit", "roundtrip", "small")


@cache
def application() -> Any:
    """The same in the client and in its workers."""
    from celery import Celery

    app = Celery("benchmark", broker=os.environ[URL_VARIABLE], backend=os.environ[URL_VARIABLE])
    for function in (workloads.one, workloads.size_of):
        app.task(name=function.__name__)(function)
    if measure := os.environ.get(BEST_VARIABLE):
        app.conf.update(
            task_serializer="pickle",
            result_serializer="pickle",
            accept_content=["pickle"],
            worker_prefetch_multiplier=64 if measure in SHORT else 1,
        )
    return app


def __getattr__(name: str) -> Any:
    """`celery -A` finds the application here, and whoever only reads this file needs no Celery."""
    if name == "app":
        return application()
    raise AttributeError(name)


class PlainCelery(Peer):
    """`celery worker` and `group`."""

    title = "Celery"
    package = module = "celery"
    needs_server = True
    best = "chunks, pickle, prefetch multiplier 64 or 1"
    best_changes = BATCHED | {"submit", "roundtrip", "small", "payload", "broadcast"}
    chunked = True

    def open(self) -> None:
        self.app = application()
        self.one = self.app.tasks["one"]
        os.environ["C_FORCE_ROOT"] = "1"  # else a worker of root refuses pickle
        self.start("celery", "-A", "benchmarks.peers.celery_", "worker", "-c", str(self.setup.workers), "-l", "ERROR")

    def submit(self, function: Function, item: Any) -> Any:
        return self.one.delay(function.__name__, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.get(RESULT_SECONDS) for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        from celery import group

        pairs = [(function.__name__, item) for item in items]
        if chunksize in (None, 1):
            results: list[Any] = group(self.one.s(*pair) for pair in pairs)().get(RESULT_SECONDS)
            return results
        return flat(self.one.chunks(pairs, chunksize)().get(RESULT_SECONDS))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        sized = self.app.tasks["size_of"]
        return self.results([sized.delay(value, item) for item in items])
