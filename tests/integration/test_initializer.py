"""An initializer runs once in each worker process before its first item; what it fails by is its batch's error."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster, worker_state
from manycore.errors import (
    BatchChanged,
    FunctionsNotAllowed,
    InitializerFailed,
    NotPicklable,
    NoWorkerState,
    RemoteTraceback,
)
from tasks.primes import segments
from tests.functions import busy, fail_first, hold_the_gil, leave, lock, square
from tests.integration.conftest import Server
from tests.waiting import wait_until

MODEL = "none"


def load(folder: Path, name: str = "model") -> dict[str, str]:
    """Leave a mark, set a global, return a state."""
    global MODEL
    MODEL = name
    mark(folder)
    return {"name": name}


def mark(folder: Path) -> None:
    with (folder / str(os.getpid())).open("a") as file:
        file.write("x")


def seen(number: int) -> tuple[str, str, int]:
    return worker_state()["name"], MODEL, number


def state_or_error(_: object = None) -> str:
    try:
        return str(worker_state())
    except NoWorkerState as exc:
        return str(exc)


def fail(folder: Path, how: str = "raise", flag: str = "") -> None:
    """Leave a mark, then fail; not while the file `flag` is there."""
    if flag and (folder.parent / flag).exists():
        return
    mark(folder)
    if how == "raise":
        raise FileNotFoundError(f"no model in {folder.name}")
    if how == "leave":
        sys.exit("it leaves")
    leave(0, at=0, how=how)


def runs(folder: Path) -> list[int]:
    """How often it ran, by process."""
    return [len(path.read_text()) for path in folder.iterdir()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "marks"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    """A local cluster whose workers have a global and a state from the start."""
    with Cluster(workers=2, initializer=dict, initargs=([("name", "of the cluster")],)) as cluster:
        yield cluster


def test_it_runs_once_in_each_process_and_its_items_reach_what_it_made(cluster: Cluster, folder: Path) -> None:
    results = cluster.batch(seen, range(400), initializer=load, initargs=(folder, "a")).gather()
    assert results == [("a", "a", number) for number in range(400)]
    assert cluster.batch(seen, [0], initializer=load, initargs=(folder, "a")).gather() == [("a", "a", 0)]
    assert cluster.batch(state_or_error, [0], initializer=load, initargs=(folder, "a")).gather() == ["{'name': 'a'}"]
    assert set(runs(folder)) == {1}
    assert len(runs(folder)) <= 2


def test_batches_with_different_initializers_each_see_their_own(cluster: Cluster, folder: Path) -> None:
    """At the same time, on the same two processes; and afterwards both are as they were."""
    wrong: list[Any] = []

    def work(name: str) -> None:
        for _ in range(15):
            batch = cluster.batch(seen, range(8), initializer=load, initargs=(folder, name))
            wrong.extend(result for result in batch.gather() if result[:2] != (name, name))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert max(runs(folder)) <= 3, "kept, not made anew at each turn"
    assert "no worker state here" in cluster.submit(state_or_error).result(timeout=30)


def test_without_one_there_is_no_state(cluster: Cluster) -> None:
    assert "no worker state here" in cluster.submit(state_or_error).result(timeout=30)
    with pytest.raises(NoWorkerState, match="initializer="):
        worker_state()


def test_that_of_the_cluster_is_for_all_its_doors(two: Cluster) -> None:
    expected = "{'name': 'of the cluster'}"
    assert two.submit(state_or_error).result(timeout=30) == expected
    assert two.submit(lambda: worker_state()["name"]).result(timeout=30) == "of the cluster"
    assert set(two.map(state_or_error, range(50))) == {expected}
    assert two.batch(state_or_error, [1]).gather() == [expected]
    assert two.batch(lambda _: worker_state(), [1], initializer=int, initargs=("7",)).gather() == [7]


def test_a_retried_item_has_it(two: Cluster, tmp_path: Path) -> None:
    def item(number: int) -> str:
        fail_first(number, folder=str(tmp_path))
        return str(worker_state()["name"])

    assert two.batch(item, [1], retries=1, backoff=0.01).gather() == ["of the cluster"]


def test_the_globals_of_a_script_are_there_as_in_the_standard_library(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from manycore import Cluster\n"
        "shared = 'of the client'\n"
        "def init(value):\n    global shared\n    shared = value\n"
        "def read(_):\n    return shared\n"
        "if __name__ == '__main__':\n"
        "    with Cluster(workers=1, initializer=init, initargs=('it',)) as cluster:\n"
        "        print(list(cluster.map(read, range(3))), cluster.submit(read, 0).result())\n"
        "        print(cluster.submit(lambda: shared).result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50)
    assert done.stdout == "['it', 'it', 'it'] it\nit\n", done.stderr


@pytest.mark.parametrize("how", ["raise", "leave"])
def test_one_that_raises_is_the_batchs_one_error(how: str, cluster: Cluster, folder: Path) -> None:
    batch = cluster.batch(square, range(20_000), initializer=fail, initargs=(folder, how))
    with pytest.raises(InitializerFailed, match=r"test_initializer\.fail.*(no model in marks|it leaves)") as caught:
        batch.gather()
    assert isinstance(caught.value, BrokenExecutor), "as the standard library's"
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in fail\n" in str(caught.value.__cause__)
    assert {type(error) for error in batch.gather(return_exceptions=True)} == {InitializerFailed}
    assert sum(runs(folder)) <= 2, "each process tries once at most"
    assert cluster.submit(square, 3).result(timeout=30) == 9


def test_futures_fail_with_it_and_later_calls_try_anew(folder: Path) -> None:
    with Cluster(workers=1, initializer=fail, initargs=(folder, "raise", "mended")) as cluster:
        futures = [cluster.submit(square, number) for number in range(30)]
        assert {type(future.exception(timeout=30)) for future in futures} == {InitializerFailed}
        with pytest.raises(InitializerFailed):
            list(cluster.map(square, range(30)))
        (folder.parent / "mended").touch()
        assert cluster.submit(square, 3).result(timeout=30) == 9
        assert list(cluster.map(square, range(3))) == [0, 1, 4]


@pytest.mark.parametrize("how", ["exit", pytest.param("segv", marks=pytest.mark.slow)])
def test_one_that_kills_its_process_does_so_three_times(how: str, cluster: Cluster, folder: Path) -> None:
    results = cluster.batch(square, range(200), initializer=fail, initargs=(folder, how)).gather(return_exceptions=True)
    assert {type(result) for result in results} == {InitializerFailed}
    assert "killed its process" in str(results[0])
    assert sum(runs(folder)) <= 3 + 1, "two processes may run it at the same time"
    assert cluster.submit(square, 3).result(timeout=30) == 9


@pytest.mark.slow
def test_one_that_ends_a_worker_of_threads_does_so_three_times(
    start_worker: Callable[..., subprocess.Popen[bytes]], connect: Callable[..., Cluster], folder: Path
) -> None:
    batch = connect().batch(square, [1], initializer=fail, initargs=(folder, "exit"))
    for _ in range(3):
        worker = start_worker("--pool", "threads", slots=4, wait=False, lease_seconds="2")
        assert worker.wait(timeout=30) == 3
    start_worker("--pool", "threads", slots=4, lease_seconds="2")
    with pytest.raises(InitializerFailed, match="killed its process 3 times"):
        batch.gather()
    assert sum(runs(folder)) == 3


@pytest.mark.parametrize("hang", [busy, pytest.param(hold_the_gil, marks=pytest.mark.slow)])
def test_one_that_hangs_is_ended(
    hang: Callable[[float], object], start_worker: Callable[..., object], connect: Callable[..., Cluster]
) -> None:
    start_worker(initializer_seconds="0.3", lease_seconds="2")
    with pytest.raises(InitializerFailed, match=r"longer than 0\.3 s"):
        connect().batch(square, range(50), initializer=hang, initargs=(50.0,)).gather()


def test_what_cannot_be_one_is_refused(cluster: Cluster) -> None:
    with pytest.raises(TypeError, match="initializer must be a callable"):
        Cluster(initializer="load")  # type: ignore[arg-type]
    with pytest.raises(NotPicklable, match="The initializer"):
        cluster.batch(square, [1], initializer=print, initargs=(lock(0),))


def test_a_named_batch_is_another_one_with_another_initializer(cluster: Cluster, folder: Path) -> None:
    first = cluster.batch(seen, [1], id="initialized", initializer=load, initargs=(folder, "a"))
    try:
        assert first.gather() == [("a", "a", 1)]
        again = cluster.batch(seen, [1], id="initialized", initializer=load, initargs=(folder, "a"))
        assert again.gather() == [("a", "a", 1)]
        for other in (
            {"initializer": load, "initargs": (folder, "b")},
            {"initializer": mark, "initargs": (folder,)},
            {},
        ):
            with pytest.raises(BatchChanged, match="initializer"):
                cluster.batch(seen, [1], id="initialized", **other)  # type: ignore[arg-type]
    finally:
        first.delete()


def test_a_named_batch_whose_initializer_failed_runs_again_once_it_is_mended(cluster: Cluster, folder: Path) -> None:
    def start() -> Any:
        return cluster.batch(square, range(300), id="mended", initializer=fail, initargs=(folder, "raise", "mended"))

    with pytest.raises(InitializerFailed):
        start().gather()
    (folder.parent / "mended").touch()
    start().detach(timeout=20)
    attached = cluster.attach("mended")
    try:
        assert attached.gather() == [number * number for number in range(300)], "nobody meets the old failures"
    finally:
        attached.delete()


def test_a_detached_batch_ends_with_it(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], server: Server, folder: Path
) -> None:
    cluster = connect()
    batch = cluster.batch(square, range(500), id="left", initializer=fail, initargs=(folder, "raise"))
    batch.detach(timeout=20)
    start_worker()
    wait_until(lambda: server.client().exists("mc:left:out"), "its first chunk has failed")
    with pytest.raises(InitializerFailed):
        cluster.attach("left").gather()
    assert sum(runs(folder)) == 1, "the other chunks know of it"


def test_a_task_by_name_has_one_too(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], folder: Path
) -> None:
    start_worker(tasks="tasks.primes")
    batch = connect().batch("tasks.primes.count_primes", [(0, 100)], star=True, initializer=load, initargs=(folder,))
    assert batch.gather() == [25]
    assert runs(folder) == [1]


def test_it_is_a_shipped_function(start_worker: Callable[..., object], connect: Callable[..., Cluster]) -> None:
    cluster, name = connect(), "tasks.primes.count_primes"
    before_any_worker = cluster.batch(name, [(0, 100)], star=True, fleet="cpu", initializer=segments, initargs=(9, 1))
    start_worker(tasks="tasks.primes", allow_functions="0")
    with pytest.raises(FunctionsNotAllowed, match="an initializer"):
        before_any_worker.gather()
    with pytest.raises(FunctionsNotAllowed, match="dict is not one"):
        cluster.batch(name, [(0, 100)], star=True, initializer=dict)
    assert cluster.batch(name, [(0, 100)], star=True).gather() == [25]


def load_slowly(folder: Path, name: str) -> dict[str, str]:
    busy(0.2)
    return load(folder, name)


def test_threads_of_one_process_share_one(
    start_worker: Callable[..., object], connect: Callable[..., Cluster], folder: Path
) -> None:
    start_worker("--pool", "threads", slots=6)
    cluster = connect()
    batches = [
        cluster.batch(seen, range(60), initializer=load_slowly, initargs=(folder, name)) for name in ("a", "b", "a")
    ]
    for name, batch in zip("aba", batches, strict=True):
        assert {result[:2] for result in batch.gather()} == {(name, name)}
    assert runs(folder) == [2], "once for each initializer"
    with pytest.raises(InitializerFailed, match="no model"):
        cluster.batch(seen, range(60), initializer=fail, initargs=(folder,)).gather()
