"""`submit`: one call, one future."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from manycore import Cluster
from tests.functions import busy, fail_on_seven, square
from tests.waiting import wait_until


def test_a_future_has_the_result(cluster: Cluster) -> None:
    assert cluster.submit(square, 7).result(timeout=10) == 49


def test_keyword_arguments_arrive(cluster: Cluster) -> None:
    assert cluster.submit(int, "ff", base=16).result(timeout=10) == 255


def test_calls_with_and_without_keywords_share_a_chunk(cluster: Cluster) -> None:
    futures = [cluster.submit(int, "11", **({"base": base} if base else {})) for base in (0, 2, 0, 3)]
    assert [future.result(timeout=10) for future in futures] == [11, 3, 11, 4]


def test_a_lambda_with_a_closure_runs(cluster: Cluster) -> None:
    offset = 40
    assert cluster.submit(lambda x: x + offset, 2).result(timeout=10) == 42


def test_a_failed_call_raises_its_own_error_with_the_remote_traceback(cluster: Cluster) -> None:
    with pytest.raises(KeyError, match="seven") as caught:
        cluster.submit(fail_on_seven, 7).result(timeout=10)
    assert 'raise KeyError("seven")' in str(caught.value.__cause__)


def test_a_future_can_be_awaited(cluster: Cluster) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(cluster.submit(square, n) for n in range(5)))

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_the_standard_library_waits_for_our_futures(cluster: Cluster) -> None:
    futures: dict[Any, int] = {cluster.submit(square, n): n for n in range(20)}
    assert {futures[f]: f.result() for f in as_completed(futures, timeout=10)} == {n: n * n for n in range(20)}
    assert not wait(futures, timeout=10).not_done


def test_a_call_that_was_not_sent_can_be_cancelled() -> None:
    with Cluster(workers=1) as cluster:
        cluster.submit(abs, 1).result(timeout=30)
        running = [cluster.submit(busy, 0.2) for _ in range(40)]  # more than the window lets out
        late = cluster.submit(square, 3)
        assert late.cancel()
        with pytest.raises(CancelledError):
            late.result()
        for future in running:
            future.cancel()


def test_a_hundred_thousand_calls_one_by_one(cluster: Cluster) -> None:
    futures = [cluster.submit(square, n) for n in range(100_000)]
    assert [future.result(timeout=60) for future in futures] == [n * n for n in range(100_000)]


def test_submit_after_shutdown_is_refused() -> None:
    cluster = Cluster(workers=1)
    cluster.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        cluster.submit(square, 1)


def test_a_callback_that_wants_the_program_to_end_ends_nothing(cluster: Cluster) -> None:
    def leave(_: object) -> None:
        raise SystemExit(1)

    for number in range(3):
        future = cluster.submit(abs, -number)
        future.add_done_callback(leave)
        assert future.result(20) == number


def test_a_callback_that_never_ends_holds_up_no_result(cluster: Cluster) -> None:
    release = Event()
    try:
        cluster.submit(abs, 1).add_done_callback(lambda _: release.wait(60))
        assert [cluster.submit(abs, n).result(20) for n in range(20)] == list(range(20))
        assert list(cluster.map(abs, range(100), timeout=20)) == list(range(100))
    finally:
        release.set()


def test_a_callback_may_submit_and_wait() -> None:
    told: list[int] = []
    with Cluster(workers=1) as cluster:
        future = cluster.submit(abs, 1)
        future.add_done_callback(lambda _: told.append(cluster.submit(abs, -2).result(20)))
        wait_until(lambda: told, "the callback has its result")
    assert told == [2]


def test_a_callback_may_shut_its_cluster_down() -> None:
    ended = Event()

    def end(_: object) -> None:
        cluster.shutdown(wait=True)
        ended.set()

    cluster = Cluster(workers=1)
    cluster.submit(abs, 1).add_done_callback(end)
    assert ended.wait(30)


NEVER_ENDS = """
import os, signal, sys, threading, time, traceback
from manycore import Cluster

def never_ends(_):
    pause, main = threading.Event(), threading.main_thread().ident
    while {where!r} not in {{frame.name for frame in traceback.extract_stack(sys._current_frames()[main])}}:
        pause.wait(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    pause.wait()

def use(cluster):
    cluster.submit(abs, 1).add_done_callback(never_ends)
    if {where!r} == "drain":
        cluster.submit(time.sleep, 60)

"""
IN_A_BLOCK = "with Cluster(workers=2) as cluster: use(cluster)"
CAUGHT = f"try:\n    {IN_A_BLOCK}\nexcept KeyboardInterrupt: print('caught')"
AT_EXIT = "cluster = Cluster(workers=2)\nuse(cluster)"


@pytest.mark.parametrize(
    ("where", "program"),
    [
        pytest.param("drained", IN_A_BLOCK, id="callbacks"),
        pytest.param("drain", IN_A_BLOCK, id="work", marks=pytest.mark.slow),
        pytest.param("drain", CAUGHT, id="caught", marks=pytest.mark.slow),
        pytest.param("_finish_at_exit", AT_EXIT, id="at exit"),
    ],
)
def test_ctrl_c_ends_whatever_its_end_waits_for(where: str, program: str, tmp_path: Path) -> None:
    """One is enough: no wait that follows is for a callback that never ends."""
    command = [sys.executable, "-c", NEVER_ENDS.format(where=where) + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert ("KeyboardInterrupt" in done.stderr) == (program == IN_A_BLOCK)
    assert done.returncode == (-signal.SIGINT if program == IN_A_BLOCK else 0)


OF_MULTIPROCESSING = """
import multiprocessing, sys, time
from manycore import Cluster

def work():
    cluster = Cluster(workers=1)
    cluster.submit(time.sleep, 0.1).add_done_callback(lambda future: print("done", future.result(), flush=True))

if __name__ == "__main__":
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    child.start()
    child.join()
"""


OF_ITS_MAIN_MODULE = """
import multiprocessing, sys, time
from manycore import Cluster

if __name__ != "__main__":
    cluster = Cluster(workers=1)

def work():
    cluster.submit(time.sleep, 0.1).add_done_callback(lambda future: print("done", future.result(), flush=True))

if __name__ == "__main__":
    multiprocessing.set_forkserver_preload([])  # newer versions have it import the main module: its cluster, not ours
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    child.start()
    child.join()
"""


@pytest.mark.parametrize(
    ("method", "text"),
    [
        *((method, OF_MULTIPROCESSING) for method in ("fork", "spawn", "forkserver")),
        *((method, OF_ITS_MAIN_MODULE) for method in ("spawn", "forkserver")),
    ],
)
def test_a_child_of_multiprocessing_finishes_what_it_has_submitted(method: str, text: str, tmp_path: Path) -> None:
    """One that was forked leaves by `os._exit`."""
    program = tmp_path / "program.py"
    program.write_text(text)
    done = subprocess.run([sys.executable, program, method], capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("done None\n", "")
