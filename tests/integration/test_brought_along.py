"""Calls of many functions, one of each: they share chunks, each brings its own along, and what fails is its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import (
    BatchCancelled,
    FunctionsNotAllowed,
    NotPicklable,
    NotUnpicklable,
    RemoteTraceback,
    WorkerCrashed,
)
from manycore.quarantine import Quarantine
from manycore.quarantine.poison import Poison
from manycore.quarantine.shown import arguments
from tests.functions import EndsBadly, square
from tests.integration.conftest import Server
from tests.queues import messages
from tests.waiting import wait_until

CALLS = 300


@pytest.fixture
def cluster(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> Cluster:
    start_worker(slots=2)
    return connect()


def scaled(number: int) -> Callable[..., int]:
    """A function that there is once."""
    return lambda *values, plus=0: sum(values) * number + plus


class Scale:
    def __init__(self, number: int) -> None:
        self.number = number

    def of(self, value: int) -> int:
        return self.number * value


def holding(thing: object) -> Callable[[], str]:
    return lambda: str(thing)


def test_calls_of_many_functions_share_messages(server: Server, cluster: Cluster) -> None:
    before = messages(server.client())
    futures = [cluster.submit(scaled(n), 2, plus=n) for n in range(CALLS)]
    assert [future.result(timeout=30) for future in futures] == [3 * n for n in range(CALLS)]
    assert messages(server.client()) - before < CALLS / 10


def test_calls_in_a_row_are_handed_over_though_each_is_of_another_function(server: Server, cluster: Cluster) -> None:
    def row() -> int:
        before = messages(server.client())
        for n in range(50):
            assert cluster.submit(scaled(n), 2).result(timeout=20) == 2 * n
        return messages(server.client()) - before

    wait_until(lambda: row() <= 10, "few of fifty calls went through the queue")


def test_what_is_called_again_is_built_once(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> None:
    start_worker(slots=1)
    cluster = connect()

    def counting(calls: list[int] = []) -> int:  # noqa: B006
        calls.append(1)
        return len(calls)

    assert [cluster.submit(counting).result(timeout=20) for _ in range(5)][1:] == [1, 2, 3, 4]


def test_functions_and_methods_in_turns(cluster: Cluster) -> None:
    found = []
    for n in range(40):
        found += [cluster.submit(square, n), cluster.submit(Scale(n).of, n), cluster.submit(abs, -n * n)]
    assert [future.result(timeout=30) for future in found] == [n * n for n in range(40) for _ in range(3)]


def test_what_cannot_be_sent_or_rebuilt_is_its_own_calls_error(cluster: Cluster, tmp_path: Path) -> None:
    functions = [scaled(n) for n in range(20)]
    bad = {5: holding(threading.Lock()), 12: holding(EndsBadly(str(tmp_path), "ValueError"))}
    futures = [cluster.submit(bad.get(n) or functions[n], *([] if n in bad else [2])) for n in range(20)]
    with pytest.raises(NotPicklable, match=r"^The function .*holding.<locals>.<lambda> cannot be"):
        futures[5].result(timeout=30)
    with pytest.raises(NotUnpicklable, match=r"(?s)^The function .*holding.<locals>.<lambda>.*ValueError: at the end"):
        futures[12].result(timeout=30)
    assert [future.result(timeout=30) for n, future in enumerate(futures) if n not in bad] == [
        2 * n for n in range(20) if n not in bad
    ]


def killer(when: str) -> Callable[[str], None]:
    return lambda word: os._exit(3) if word == when else None


def test_what_kills_costs_its_own_call(server: Server, cluster: Cluster) -> None:
    """And is put aside under its own function's name."""
    futures = [cluster.submit(killer("now"), "now") if n == 7 else cluster.submit(scaled(n), 2) for n in range(20)]
    with pytest.raises(WorkerCrashed):
        futures[7].result(timeout=60)
    assert [future.result(timeout=30) for n, future in enumerate(futures) if n != 7] == [
        2 * n for n in range(20) if n != 7
    ]
    with Quarantine(server.url) as quarantine:
        (entry,) = quarantine.newest()
    assert isinstance(entry, Poison)
    assert entry.name == f"{__name__}.killer.<locals>.<lambda>"
    assert arguments(entry).startswith("('now',) (")


def test_its_own_error_shows_its_own_lines(cluster: Cluster) -> None:
    def fails(number: int) -> Callable[[], float]:
        return lambda: 1 / (number - 5)

    futures = [cluster.submit(fails(n)) for n in range(10)]
    error = futures[5].exception(timeout=30)
    assert type(error) is ZeroDivisionError
    assert type(error.__cause__) is RemoteTraceback
    assert str(error.__cause__).count("File ") == 1
    assert "1 / (number - 5)" in str(error.__cause__)


def test_a_reference_in_a_closure_stays_one(cluster: Cluster) -> None:
    ref = cluster.put(bytes(2_000_000))

    def sized(number: int) -> Callable[[], int]:
        return lambda: number + len(ref.get())

    futures = [cluster.submit(sized(n)) for n in range(10)]
    assert [future.result(timeout=30) for future in futures] == [n + 2_000_000 for n in range(10)]


def test_each_is_as_it_was_when_it_was_sent(cluster: Cluster) -> None:
    """What a function refers to may change from call to call."""
    found, cells = [], [0]

    def read() -> int:
        return cells[0]

    for n in range(30):
        cells[0] = n
        found.append(cluster.submit(read).result(timeout=30))
        for _ in range(3):
            cluster.submit(scaled(n))
    assert found == list(range(30))


def test_an_initializer_and_its_functions_share_their_globals() -> None:
    """They are pickled together, so none goes along with others."""
    script = """
from manycore import Cluster, worker_state
model = None
def load():
    global model
    model = 10
    return 1
def reading(n):
    return lambda: model + n + worker_state()
with Cluster(workers=1, initializer=load) as cluster:
    print([f.result(timeout=30) for f in [cluster.submit(reading(n)) for n in range(10)]])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == str([11 + n for n in range(10)]), ended.stderr


def test_what_a_function_imports_comes_along(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import inside\nTEN = inside.TEN\n")
    (tmp_path / "inside.py").write_text("TEN = 10\n")
    script = tmp_path / "script.py"
    script.write_text("""
from manycore import Cluster
def importing(n):
    def run():
        import beside
        return beside.TEN + n
    return run
with Cluster(workers=1) as cluster:
    print([f.result(timeout=30) for f in [cluster.submit(importing(n)) for n in range(10)]])
""")
    ended = subprocess.run([sys.executable, script], cwd="/", capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == str([10 + n for n in range(10)]), ended.stderr


def test_workers_that_run_no_functions_run_none_of_them(
    start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    start_worker(allow_functions="0", tasks="tasks.primes")
    futures = [connect().submit(scaled(n)) for n in range(5)]
    cluster = connect()
    futures += [cluster.submit(scaled(n)) for n in range(5)]
    for future in futures:
        with pytest.raises(FunctionsNotAllowed):
            future.result(timeout=30)


def test_the_pickle_of_a_function_is_no_argument_of_it(cluster: Cluster) -> None:
    """What a call brings along is taken off, whatever its own arguments look like."""
    blob = pickle.dumps(square)
    futures = [cluster.submit(lambda *args, n=n: (n, args), "name", blob) for n in range(10)]
    assert [future.result(timeout=30) for future in futures] == [(n, ("name", blob)) for n in range(10)]


def test_calls_that_wait_are_cancelled_with_the_rest() -> None:
    cluster = Cluster(workers=1)
    futures = [cluster.submit(scaled(n)) for n in range(2_000)]
    cluster.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    for future in futures:
        assert future.cancelled() or type(future.exception()) is BatchCancelled or future.result() == 0
