"""Dramatiq on Redis, with its `Results`: processes of eight threads each, and JSON.

Best: one thread a process, as it is CPU-bound (its user guide, "Workers"), for long items a prefetch of one message
(`dramatiq_queue_prefetch`, for tasks of unequal length), its `PickleEncoder`, and lists made by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from benchmarks import workloads
from benchmarks.peers.peer import BEST_VARIABLE, EVERYTHING, RESULT_SECONDS, URL_VARIABLE, Function, Peer, flat, parts

NO_BYTES = "its default encoder is JSON, which has no bytes"


@cache
def actors() -> dict[str, Any]:
    """The same in the client and in its workers."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    encoder = dramatiq.PickleEncoder() if os.environ.get(BEST_VARIABLE) else dramatiq.JSONEncoder()
    dramatiq.set_encoder(encoder)
    broker = RedisBroker(url=os.environ[URL_VARIABLE])
    broker.add_middleware(Results(backend=RedisBackend(url=os.environ[URL_VARIABLE], encoder=encoder)))
    dramatiq.set_broker(broker)
    functions = (workloads.one, workloads.many, workloads.size_of)
    return {"broker": broker} | {
        function.__name__: dramatiq.actor(store_results=True, broker=broker)(function) for function in functions
    }


def __getattr__(name: str) -> Any:
    """Dramatiq's command finds the broker here, and whoever only reads this file needs no Dramatiq."""
    if name == "broker":
        return actors()["broker"]
    raise AttributeError(name)


class Dramatiq(Peer):
    """`dramatiq` and `group`."""

    title = "Dramatiq"
    package = module = "dramatiq"
    needs_server = True
    best = "1 thread a process, prefetch 1, pickle, lists made by hand"
    best_changes = EVERYTHING - {"import"}
    chunked = True
    cannot_by_default = MappingProxyType({"payload": NO_BYTES, "broadcast": NO_BYTES})

    def open(self) -> None:
        self.actors = actors()
        if self.setup.best and self.setup.measure in ("efficiency", "small", "cpu"):
            os.environ["dramatiq_queue_prefetch"] = "1"  # noqa: SIM112, Dramatiq's name
        threads = ("--threads", "1") if self.setup.best else ()
        self.start("dramatiq", "benchmarks.peers.dramatiq_:broker", "--processes", str(self.setup.workers), *threads)

    def submit(self, function: Function, item: Any) -> Any:
        return self.actors["one"].send(function.__name__, item)

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return [call.get_result(block=True, timeout=1000 * RESULT_SECONDS) for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return self._group([self.actors["one"].message(function.__name__, item) for item in items])
        lists = parts(items, chunksize)
        return flat(self._group([self.actors["many"].message(function.__name__, part) for part in lists]))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self._group([self.actors["size_of"].message(value, item) for item in items])

    def _group(self, messages: Sequence[Any]) -> Iterable[Any]:
        import dramatiq

        return list(dramatiq.group(messages).run().get_results(block=True, timeout=1000 * RESULT_SECONDS))
