"""RQ: a worker a process, each of which forks for every job.

Best: `SimpleWorker`, which does not fork (its "Notes on Performance": some six times as fast on short jobs, and only
for trusted code), `enqueue_many` in one pipeline, and lists made by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers.peer import EVERYTHING, RESULT_SECONDS, Function, Peer, flat, parts
from benchmarks.workloads import each, size_of


class RQ(Peer):
    """`rq worker`, as often as there are workers."""

    title = "RQ"
    package = module = "rq"
    needs_server = True
    best = "SimpleWorker, enqueue_many, lists made by hand"
    best_changes = EVERYTHING - {"import"}
    chunked = True

    def open(self) -> None:
        from redis import Redis
        from rq import Queue

        self.queue = Queue(connection=Redis.from_url(self.setup.url))
        kind = ("-w", "rq.worker.SimpleWorker") if self.setup.best else ()
        for _ in range(self.setup.workers):
            self.start("rq.cli", "worker", "--url", self.setup.url, "--quiet", *kind)

    def submit(self, function: Function, item: Any) -> Any:
        return self.queue.enqueue(function, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        for call in calls:
            result = call.latest_result(timeout=RESULT_SECONDS)
            if result is None or result.type != result.Type.SUCCESSFUL:
                raise RuntimeError(f"RQ: {result and result.exc_string}")
            yield result.return_value

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if not self.setup.best:
            return super().map(function, items, None)
        if chunksize is None:
            return self._many([self.queue.prepare_data(function, (item,)) for item in items])
        return flat(self._many([self.queue.prepare_data(each, (function, part)) for part in parts(items, chunksize)]))

    def _many(self, calls: Sequence[Any]) -> Iterable[Any]:
        return self.results(self.queue.enqueue_many(calls))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self.results([self.queue.enqueue(size_of, value, item) for item in items])
