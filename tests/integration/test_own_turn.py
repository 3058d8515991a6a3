"""Each item is rebuilt, run, and its result pickled in its own turn: what goes wrong there is its own affair."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from manycore import Cluster
from manycore.errors import NotUnpicklable, RemoteTraceback, SettingsError, WorkerCrashed
from tests.functions import EndsBadly, die, leave, run_what_no_cpu_knows, worker_pid
from tests.integration.conftest import Server
from tests.modules import write


class Fatal:
    """Kills the process that rebuilds it; leaves a mark in `folder` each time."""

    def __init__(self, folder: Path, end: Callable[[str], None] = die) -> None:
        self.folder = str(folder)
        self.end = end

    def __reduce__(self) -> Any:
        return self.end, (self.folder,)


def deaths(folder: Path) -> int:
    return sum(len(path.read_text()) for path in folder.iterdir())


def test_a_function_that_kills_who_rebuilds_it_ends_its_batch(cluster: Cluster, tmp_path: Path) -> None:
    fatal = Fatal(tmp_path)
    results = cluster.batch(lambda _: fatal, range(200)).gather(return_exceptions=True)
    assert {type(result) for result in results} == {WorkerCrashed}
    assert "its function was rebuilt" in str(results[0])
    # Two children may rebuild it at the same time.
    assert deaths(tmp_path) <= 3 + 1
    assert cluster.submit(os.getpid).result(timeout=30)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_module_that_leaves_where_it_is_imported_is_a_clear_error(
    pool: str,
    server: Server,
    start_worker: Callable[..., Any],
    connect: Callable[..., Cluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And its process, or slot, goes on."""
    text = f"import os, sys\nif os.getpid() != {os.getpid()}: sys.exit('no GPU here')\ndef job(item): return item"
    write(tmp_path, needs_a_gpu=text)
    monkeypatch.syspath_prepend(str(tmp_path))
    job = importlib.import_module("needs_a_gpu").job
    start_worker("--pool", pool)
    cluster = connect(url=server.url)
    process = cluster.submit(worker_pid).result(timeout=30)
    for result in cluster.batch(job, range(200)).gather(return_exceptions=True):
        assert isinstance(result, NotUnpicklable)
        assert "needs_a_gpu" in str(result)
        assert "SystemExit: no GPU here" in str(result)
    assert cluster.submit(worker_pid).result(timeout=30) == process


@pytest.mark.parametrize("how", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_whatever_a_functions_parts_raise_while_they_are_rebuilt_is_its_batchs_error(
    cluster: Cluster, how: str, tmp_path: Path
) -> None:
    part = EndsBadly(str(tmp_path), how)
    for result in cluster.batch(lambda _: part, range(50)).gather(return_exceptions=True):
        assert isinstance(result, NotUnpicklable)
        assert f"{how}: at the end" in str(result)


@pytest.mark.parametrize(("end", "cause"), [(die, "exit code 7"), (run_what_no_cpu_knows, "SIGILL")])
def test_an_argument_that_kills_who_rebuilds_it_dies_three_times_and_alone(
    end: Callable[[str], None], cause: str, cluster: Cluster, tmp_path: Path
) -> None:
    items = [[n] for n in range(60)] + [Fatal(tmp_path, end)] + [[n] for n in range(60)]
    results = cluster.batch(len, items).gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != 1] == [60]
    assert isinstance(results[60], WorkerCrashed)
    assert cause in str(results[60])
    assert deaths(tmp_path) == 3


class FatalResult:
    """Kills the process that pickles it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> NoReturn:
        die(self.folder)
        raise AssertionError


def fatal_at_40(number: int, *, folder: str) -> Any:
    return FatalResult(folder) if number == 40 else [number]


def test_a_result_that_kills_who_pickles_it_condemns_no_neighbour(cluster: Cluster, tmp_path: Path) -> None:
    results = cluster.batch(fatal_at_40, range(80), kwargs={"folder": str(tmp_path)}).gather(return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != [n]] == [40]
    assert isinstance(results[40], WorkerCrashed)
    assert deaths(tmp_path) == 3


class Unspeakable(Exception):
    def __reduce__(self) -> NoReturn:
        raise SystemExit(3)

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


def speak(which: str) -> None:
    if which == "syntax":
        place: Any = ("conf.ini", 1, "7", "a = = b")
        raise SyntaxError("x", place)
    if which == "unspeakable":
        raise Unspeakable
    if which == "large":
        raise ValueError("x" * (100 << 20))
    if which == "group":
        raise ExceptionGroup("several", [Unspeakable(), ValueError(1)])
    if which == "cause":
        raise LookupError from Unspeakable()
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    raise ValueError(deep)


def test_describing_an_error_never_fails(cluster: Cluster) -> None:
    for which in ("syntax", "unspeakable", "large", "group", "cause", "deep"):
        error = cluster.submit(speak, which).exception(timeout=30)
        assert isinstance(error, Exception)
        assert not isinstance(error, WorkerCrashed), which


def fork_and(how: str) -> int:
    child = os.fork()
    if child == 0:
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise ValueError("in the copy")
        return 5
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("timeout", [None, 10])
def test_a_copy_that_an_item_forked_ends_with_its_item(cluster: Cluster, timeout: float | None) -> None:
    batch = cluster.batch(fork_and, ["exit", "raise", "return"] * 4, timeout=timeout)
    assert batch.gather() == [3, 1, 0] * 4


def fail_with_a_context(at_hand: list[Any]) -> None:
    """Fail, after what was handled as this began is known."""
    at_hand.append(sys.exc_info()[0])
    raise LookupError(at_hand)


def test_no_exception_is_under_way_where_an_item_runs() -> None:
    """Of ours: a traceback would tell of it, "during handling of which" the item's own came. Nor in later processes."""
    with Cluster(workers=1) as cluster:
        for _ in range(2):
            for error in (
                cluster.submit(fail_with_a_context, []).exception(timeout=30),
                *cluster.batch(fail_with_a_context, [[], []], retries=1).gather(return_exceptions=True),
            ):
                assert isinstance(error, LookupError)
                assert error.args == ([None],)
                assert isinstance(error.__cause__, RemoteTraceback)
                assert "During handling" not in error.__cause__.text
            assert isinstance(cluster.submit(leave, 0, at=0).exception(timeout=30), WorkerCrashed)


def ordinary(_: Any) -> tuple[int, bool, str]:
    faulthandler.enable()
    sys.stdout.buffer.write(b"")
    with ProcessPoolExecutor(1) as pool, multiprocessing.Pool(1) as other:
        assert other.apply(abs, (-1,)) == 1
        return pool.submit(abs, -7).result(timeout=20), sys.stdout.fileno() >= 0, sys.stdout.encoding


def test_the_world_of_an_item_is_ordinary(cluster: Cluster) -> None:
    assert cluster.submit(ordinary, 0).result(timeout=30)[:2] == (7, True)


def beside(_: Any, method: str) -> int:
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        return pool.submit(abs, -7).result(timeout=20)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_item_starts_processes_by_each_method(cluster: Cluster, method: str) -> None:
    assert cluster.submit(beside, 0, method).result(timeout=30) == 7


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e12, 0, -1])
def test_a_time_limit_that_no_timer_holds_is_refused(cluster: Cluster, timeout: float) -> None:
    with pytest.raises(SettingsError, match="up to a year"):
        cluster.batch(abs, [1], timeout=timeout)
