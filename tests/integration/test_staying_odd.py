"""What calls may do to the slot that stays for the next one, and what may come over it as it waits."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from tests.events import heard, kinds_of
from tests.functions import note_run, square, worker_pid
from tests.integration.conftest import Server
from tests.staying import hand_to_a_stopped_slot, nothing_is_left
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
LOW = 120


@pytest.fixture
def cluster(start_worker: StartWorker, connect: Connect) -> Cluster:
    """Of a worker with two slots. No audit sends again what gets lost: that is not what is to be seen here."""
    start_worker(slots=2)
    return connect(audit_seconds="3600")


def lower_recursion_limit(number: int) -> int:
    """The limit as this call finds it; two of three leave a low one behind."""
    found = sys.getrecursionlimit()
    if number % 3:
        sys.setrecursionlimit(LOW)
    return found


def alternately_large(number: int) -> bytes:
    """A result that goes with the acknowledgement, or one that is too large for it."""
    return bytes(100_000 if number % 2 else 1)


def test_a_recursion_limit_is_lowered_for_no_other_call(server: Server, cluster: Cluster) -> None:
    found = {cluster.submit(lower_recursion_limit, n).result(timeout=20) for n in range(30)}
    assert min(found) > LOW
    nothing_is_left(server, cluster)


def test_a_signal_that_raises_as_a_slot_waits_costs_no_call(server: Server, cluster: Cluster) -> None:
    """Celery has a handler for this one: of a soft time limit."""
    pid, handed = hand_to_a_stopped_slot(server, cluster)
    os.kill(pid, signal.SIGUSR1)
    os.kill(pid, signal.SIGCONT)
    assert handed.result(timeout=20)
    nothing_is_left(server, cluster)


def test_a_signal_that_no_call_asked_for_keeps_none_waiting(server: Server, cluster: Cluster) -> None:
    """It comes wherever the process is: it waits for a job, reads one, hands on a result."""
    pids = {cluster.submit(worker_pid, n).result(timeout=20) for n in range(20)}
    stopped = threading.Event()

    def send() -> None:
        while not stopped.wait(0.001):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for n in range(60):
            assert cluster.submit(square, n).result(timeout=20) == n * n
    finally:
        stopped.set()
        sender.join()
    assert cluster.submit(square, 3).result(timeout=20) == 9
    nothing_is_left(server, cluster)


def test_of_calls_with_large_results_nothing_is_kept(server: Server, cluster: Cluster) -> None:
    for n in range(40):
        assert len(cluster.submit(alternately_large, n).result(timeout=20)) == (100_000 if n % 2 else 1)
    nothing_is_left(server, cluster)


def test_each_has_ended_for_flower_though_one_that_follows_kills(
    server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    with heard(server.url, cluster) as seen:
        before = set(seen)
        for n in range(24):
            died = cluster.submit(note_run, n, folder=str(tmp_path), at=n if n % 8 == 7 else -1)
            assert (died.exception(timeout=30) is not None) == (n % 8 == 7)

        def ended() -> int:
            lasts = [kinds_of(events) for uuid, events in list(seen.items()) if uuid not in before]
            return sum("task-succeeded" in kinds or "task-failed" in kinds for kinds in lasts)

        cluster.submit(abs, -1).result(timeout=20)
        wait_until(lambda: ended() >= 25, "all are seen to their end")
