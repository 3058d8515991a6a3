"""SAQ on Redis: asyncio workers, which a CPU-bound function holds for as long as it runs; JSON.

Best: `concurrency=1`, as such a function holds the loop anyway, pickle by `dump` and `load`, `Queue.map` for many
calls, and lists made by hand (its README and reference).
"""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from types import MappingProxyType
from typing import Any

from benchmarks import workloads
from benchmarks.peers.peer import BEST_VARIABLE, EVERYTHING, RESULT_SECONDS, URL_VARIABLE, Function, Peer, flat, parts

NO_BYTES = "its default serializer is JSON, which has no bytes"

PATIENCE: dict[str, Any] = {"timeout": RESULT_SECONDS, "retries": 3}
"""Of each job: a worker that starts sweeps up what is stuck, and takes what its neighbour has just taken for that; with
a retry left it runs again."""
REFRESH_SECONDS = 0.5
"""How often `Queue.map` itself looks again, by default."""


async def one(_: Any, *, name: str, item: Any) -> Any:
    """`workloads.one` as a function of SAQ."""
    return workloads.one(name, item)


async def many(_: Any, *, name: str, items: list[Any]) -> list[Any]:
    """`workloads.many`, likewise."""
    return workloads.many(name, items)


async def size_of(_: Any, *, value: bytes, item: int) -> int:
    """`workloads.size_of`, likewise."""
    return workloads.size_of(value, item)


@cache
def settings() -> dict[str, Any]:
    """What SAQ's command reads, and the client's queue."""
    from saq import Queue

    best = bool(os.environ.get(BEST_VARIABLE))
    options: dict[str, Any] = {"dump": pickle.dumps, "load": pickle.loads} if best else {}
    shape = {"concurrency": 1} if best else {}
    queue = Queue.from_url(os.environ[URL_VARIABLE], **options)
    return {"queue": queue, "functions": [one, many, size_of], **shape}


def __getattr__(name: str) -> Any:
    """SAQ's command finds its settings here, and whoever only reads this file needs no SAQ."""
    if name == "for_workers":
        return settings()
    raise AttributeError(name)


class SAQ(Peer):
    """`saq`; its client is asynchronous, so a loop runs for each step."""

    title = "SAQ"
    package = module = "saq"
    needs_server = True
    best = "concurrency 1, pickle, lists made by hand"
    best_changes = EVERYTHING - {"import"}
    chunked = True
    cannot_by_default = MappingProxyType({"payload": NO_BYTES, "broadcast": NO_BYTES})

    def open(self) -> None:
        self.queue = settings()["queue"]
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.queue.connect())
        self.start("saq", "benchmarks.peers.saq_.for_workers", "--workers", str(self.setup.workers), "-q")

    def close(self) -> None:
        self.loop.run_until_complete(self.queue.disconnect())
        super().close()

    def submit(self, function: Function, item: Any) -> Any:
        return self.loop.run_until_complete(self.queue.enqueue("one", name=function.__name__, item=item, **PATIENCE))

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return self.loop.run_until_complete(self._wait(calls))

    async def _wait(self, calls: Sequence[Any]) -> list[Any]:
        for call in calls:
            while not call.completed:
                with suppress(TimeoutError):  # it listens once the job may be done, and misses the word
                    await call.refresh(REFRESH_SECONDS)
        for call in calls:
            if call.status != "complete":
                raise RuntimeError(f"SAQ says {call.status.value}: {call.error}")
        return [call.result for call in calls]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return self._map("one", [{"name": function.__name__, "item": item} for item in items])
        lists = parts(items, chunksize)
        return flat(self._map("many", [{"name": function.__name__, "items": part} for part in lists]))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self._map("size_of", [{"value": value, "item": item} for item in items])

    def _map(self, name: str, arguments: Sequence[dict[str, Any]]) -> list[Any]:
        results: list[Any] = self.loop.run_until_complete(self.queue.map(name, arguments, **PATIENCE))
        return results
