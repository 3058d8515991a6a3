"""Taskiq on a Redis stream, the broker that taskiq-redis recommends: functions run in threads of its workers.

Best: `--use-process-pool`, which its documentation advises for CPU-bound functions, one call at a time for each
process, a `check_interval` of 1 ms instead of 200 (a result is polled for), and lists made by hand.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from benchmarks import workloads
from benchmarks.peers.peer import EVERYTHING, RESULT_SECONDS, URL_VARIABLE, Function, Peer, flat, parts

NO_BYTES = "it makes JSON of a message before any serializer sees it, and JSON has no bytes"
CHECK_SECONDS = {False: 0.2, True: 0.001}


@cache
def application() -> tuple[Any, dict[str, Any]]:
    """The same in the client and in its workers: the broker, and its tasks."""
    from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

    url = os.environ[URL_VARIABLE]
    broker = RedisStreamBroker(url).with_result_backend(RedisAsyncResultBackend(url))
    functions = (workloads.one, workloads.many, workloads.size_of)
    return broker, {name.__name__: broker.register_task(name, task_name=name.__name__) for name in functions}


def __getattr__(name: str) -> Any:
    """Taskiq's command finds the broker here, and whoever only reads this file needs no Taskiq."""
    if name == "broker":
        return application()[0]
    raise AttributeError(name)


class Taskiq(Peer):
    """`taskiq worker`; its client is asynchronous, so a loop runs for each step."""

    title = "Taskiq"
    package = "taskiq"
    module = "taskiq_redis"
    needs_server = True
    best = "process pool, check_interval 1 ms, lists made by hand"
    best_changes = EVERYTHING - {"import"}
    chunked = True
    cannot = MappingProxyType({"payload": NO_BYTES, "broadcast": NO_BYTES})

    def open(self) -> None:
        self.broker, self.tasks = application()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.broker.startup())
        workers, target = str(self.setup.workers), "benchmarks.peers.taskiq_:broker"
        pool = ("--workers", "1", "--use-process-pool", "--max-process-pool-processes", workers)
        shape = (*pool, "--max-async-tasks", workers) if self.setup.best else ("--workers", workers)
        self.start("taskiq", "worker", target, "--log-level", "ERROR", *shape)

    def close(self) -> None:
        self.loop.run_until_complete(self.broker.shutdown())
        super().close()

    def submit(self, function: Function, item: Any) -> Any:
        return self.loop.run_until_complete(self.tasks["one"].kiq(function.__name__, item))

    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        return self.loop.run_until_complete(self._wait(calls))

    async def _wait(self, calls: Sequence[Any]) -> list[Any]:
        seconds = CHECK_SECONDS[self.setup.best]
        waited = [await call.wait_result(check_interval=seconds, timeout=RESULT_SECONDS) for call in calls]
        for result in waited:
            result.raise_for_error()
        return [result.return_value for result in waited]

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return self._kick("one", [(function.__name__, item) for item in items])
        return flat(self._kick("many", [(function.__name__, part) for part in parts(items, chunksize)]))

    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        return self._kick("size_of", [(value, item) for item in items])

    def _kick(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> Iterable[Any]:
        async def kick() -> list[Any]:
            return await self._wait([await self.tasks[name].kiq(*each) for each in arguments])

        return self.loop.run_until_complete(kick())
