"""Threads of the model: each does what it is given, one after the other, while the next steps are drawn.

What fails is told at the end alone: hypothesis wants the same steps from the same choices, whatever the threads did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any

SECONDS = 45.0
"""Whoever waits longer waits for ever."""
Job = Callable[[], Any]


class Hands:
    """A job may wait only for jobs that were given before it: so that the oldest one can always go on."""

    def __init__(self, count: int) -> None:
        self._queues: list[SimpleQueue[tuple[Job, Future[Any]] | None]] = [SimpleQueue() for _ in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(queue,), daemon=True) for queue in self._queues]
        self._given: list[Future[Any]] = []
        self._error: BaseException | None = None
        for thread in self._threads:
            thread.start()

    def give(self, hand: int, job: Job, *, after: Future[Any] | None = None) -> Future[Any]:
        """Let a hand do a job, once the one of `after` is done."""
        done: Future[Any] = Future()
        self._given.append(done)
        self._queues[hand].put((job if after is None else _following(after, job), done))
        return done

    def settle(self) -> None:
        """Wait until all that was given is done."""
        for done in self._given:
            wait([done], 2 * SECONDS)

    def end(self) -> None:
        """Let the threads end, and raise what the first job that failed has raised; one that hangs is a failure."""
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join(2 * SECONDS)
        if self._error is not None:
            raise self._error
        assert not any(thread.is_alive() for thread in self._threads), "a job of the model hangs"

    def _work(self, queue: SimpleQueue[tuple[Job, Future[Any]] | None]) -> None:
        while (given := queue.get()) is not None:
            job, done = given
            try:
                done.set_result(job() if self._error is None else None)
            except BaseException as exc:
                self._error = self._error or exc
                done.set_result(None)


def _following(before: Future[Any], job: Job) -> Job:
    def follow() -> Any:
        before.result(2 * SECONDS)
        return job()

    return follow
