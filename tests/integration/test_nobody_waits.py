"""No caller waits for ever: whatever ends, and in whatever thread, each future and each batch comes to its end."""

from __future__ import annotations

import ctypes
import gc
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.client.locks import RankedLock
from manycore.errors import BatchCancelled, ClientBroken, ConnectionFailed, ManycoreError, NestedWork
from tests.functions import busy, square
from tests.integration.conftest import ROOT, Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
MANY = 3_000
BAR = """
from manycore import Cluster

def flaky(n):
    if n % 2:
        raise ValueError(n)
    return n

with Cluster(workers=2) as cluster:
    batch = cluster.batch(flaky, range(2000), retries=1, progress=True)
    print(len(batch.gather(return_exceptions=True)), flush=True)
"""


@pytest.mark.timeout(50)
def test_a_bar_with_retries_does_not_freeze_the_client(tmp_path: Path) -> None:
    """A bar is drawn in a terminal only: this is one."""
    script = tmp_path / "bar.py"
    script.write_text(BAR)
    screen, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=terminal, cwd=ROOT) as run:
        os.close(terminal)
        shown: list[bytes] = []
        reader = threading.Thread(target=_read_all, args=(screen, shown), daemon=True)
        reader.start()
        try:
            out, _ = run.communicate(timeout=40)
        finally:
            run.kill()
    assert out == b"2000\n"
    reader.join(10)
    assert b"2000/2000" in b"".join(shown), "the bar was drawn"


def _read_all(screen: int, shown: list[bytes]) -> None:
    try:
        while data := os.read(screen, 65_536):
            shown.append(data)
    except OSError:
        return  # the terminal was closed at the other end


def test_each_call_ends_when_the_server_is_gone_for_good(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    cluster = connect(connection_seconds="1")
    assert cluster.submit(square, 2).result(timeout=20) == 4
    server.process.kill()
    server.process.wait()
    futures = [cluster.submit(square, n) for n in range(MANY)]
    done, not_done = wait(futures, timeout=40)
    assert not not_done
    assert {type(future.exception()) for future in done} <= {ConnectionFailed}
    late = cluster.submit(square, 1)
    assert isinstance(late.exception(timeout=40), ConnectionFailed)


def test_each_call_ends_after_an_interrupt(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    cluster = connect()
    futures: list[Any] = []

    def interrupted() -> None:
        with cluster:
            futures.extend(cluster.submit(busy, 0.01) for _ in range(MANY))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not wait(futures, timeout=10).not_done


@pytest.mark.timeout(50)
def test_each_call_ends_when_the_supervisor_is_killed_under_thousands() -> None:
    with Cluster(workers=2) as cluster:
        cluster.submit(abs, 1).result(timeout=30)
        futures = [cluster.submit(busy, 0.005) for _ in range(6_000)]
        os.kill(Probe(cluster).local.process_id, signal.SIGKILL)
        assert not wait(futures, timeout=30).not_done
        assert any(isinstance(future.exception(), ManycoreError) for future in futures)


def test_a_call_that_races_with_the_end_is_refused_or_done(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    for _ in range(5):
        cluster = connect()
        futures: list[Any] = []

        def submit(cluster: Cluster = cluster, futures: list[Any] = futures) -> None:
            try:
                while True:
                    futures.append(cluster.submit(square, 3))
            except RuntimeError:
                return

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda futures=futures: len(futures) > 50, "calls come")  # type: ignore[misc]
        cluster.shutdown(cancel_futures=True)
        for thread in threads:
            thread.join(10)
        assert not wait(futures, timeout=10).not_done


def test_a_batch_that_another_client_cancels_ends_at_its_own(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    first, second = connect(audit_seconds="0.5"), connect()
    batch = first.batch(busy, [0.05] * 400, id="contested")
    wait_until(lambda: second_knows(second, "contested"), "it is sent whole")
    second.attach("contested").cancel(terminate=True)
    results = batch.gather(return_exceptions=True)
    assert len(results) == 400
    assert isinstance(results[-1], BatchCancelled)


def test_a_batch_that_another_client_deletes_ends_at_its_own(start_worker: StartWorker, connect: Connect) -> None:
    start_worker()
    first, second = connect(audit_seconds="0.5"), connect(audit_seconds="0.5")
    batch = first.batch(busy, [0.05] * 400, id="forgotten")
    wait_until(lambda: second_knows(second, "forgotten"), "it is sent whole")
    second.attach("forgotten").delete()
    assert isinstance(batch.gather(return_exceptions=True)[-1], BatchCancelled)


def second_knows(client: Cluster, batch: str) -> bool:
    return bool(Probe(client).redis.hexists(f"mc:batch:{batch}", "total"))


def test_a_shutdown_that_cancels_ends_without_workers(connect: Connect) -> None:
    cluster = connect()
    futures = [cluster.submit(square, n) for n in range(10)]
    ending = threading.Thread(target=lambda: cluster.shutdown(cancel_futures=True))
    ending.start()
    ending.join(20)
    assert not ending.is_alive()
    assert not wait(futures, timeout=1).not_done


def nested(numbers: int) -> int:
    with Cluster() as inner:
        return sum(inner.map(abs, range(numbers)))


def nested_call(number: int) -> int:
    with Cluster() as inner:
        return inner.submit(square, number).result()


@pytest.mark.parametrize("work", [nested, nested_call])
def test_work_that_waits_for_its_own_fleet_is_refused_at_once(work: Callable[[int], int]) -> None:
    with Cluster(workers=2) as cluster:
        results = cluster.batch(work, [10] * 4).gather(return_exceptions=True)
    assert [type(result) for result in results] == [NestedWork] * 4


@pytest.fixture
def quick_collector() -> Iterator[None]:
    """It looks at nothing of what the tests before have left, and so takes milliseconds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("quick_collector")
def test_a_map_that_is_dropped_under_any_lock_of_ours_waits_for_none(
    start_worker: StartWorker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector calls finalizers anywhere, so also there."""
    start_worker()
    cluster = connect()
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    results: Any = cluster.map(square, iter(range(10**9)))
    assert next(results) == 0
    locks = [found for found in gc.get_objects() if isinstance(found, RankedLock)]
    inputs = [thread for thread in threading.enumerate() if thread.name == "manycore-input"]
    assert len(locks) > 3
    assert inputs
    results = [results]
    results.append(results)  # nobody but the collector can let go of it
    del results
    for lock in locks:
        again: Any = cluster.map(square, [1, 2])
        again = [again]
        again.append(again)
        del again
        with lock:
            gc.collect()
    assert not raised
    wait_until(lambda: not any(thread.is_alive() for thread in inputs), "what was dropped is cancelled")


@pytest.mark.parametrize("thread", ["manycore-dispatch", "manycore-gather", "manycore-housekeeper"])
def test_what_is_raised_in_a_thread_of_ours_from_outside_lets_nobody_wait(
    thread: str, start_worker: StartWorker, connect: Connect
) -> None:
    start_worker()
    cluster = connect()
    assert cluster.submit(square, 2).result(timeout=20) == 4
    (target,) = [t for t in threading.enumerate() if t.name == thread and t.ident in Probe(cluster).threads]
    for error in (SystemExit, KeyboardInterrupt, RuntimeError):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(target.ident or 0), ctypes.py_object(error))
        futures: list[Any] = []
        with suppress(ClientBroken):  # it says so, at once, if it could not go on
            futures.extend(cluster.submit(square, n) for n in range(100))
        assert not wait(futures, timeout=30).not_done
