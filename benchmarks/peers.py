"""The two executors that are compared: as many processes each, all of them started and warm."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from benchmarks.workloads import process_after
from manycore import Cluster

WARM_UP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Peers:
    """Both executors, their number of processes, and how many rounds each measure takes."""

    cluster: Cluster
    pool: ProcessPoolExecutor
    workers: int
    rounds: int


@contextmanager
def open_peers(workers: int, rounds: int) -> Iterator[Peers]:
    """Start both and end both. Raises `RuntimeError` if one of them does not bring up all its processes."""
    pool = ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_the_parent)
    try:
        _warm_up(pool, workers)  # first, because it forks, and the cluster's client has threads
        with Cluster(workers=workers) as cluster:
            _warm_up(cluster, workers)
            yield Peers(cluster, pool, workers, rounds)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _warm_up(executor: Executor, workers: int) -> None:
    deadline = monotonic() + WARM_UP_SECONDS
    while len(seen := set(executor.map(process_after, [0.02] * 8 * workers))) < workers:
        if monotonic() > deadline:
            raise RuntimeError(f"{type(executor).__name__} runs {len(seen)} of {workers} processes. Is memory short?")
