"""A result whose unpickling takes long, or never ends, holds up nothing but itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.client.reader import MOST_RELIEVED
from tests.functions import rest, square
from tests.waiting import wait_until

Connect = Callable[..., Cluster]
StartWorker = Callable[..., Any]
PATIENCE = 20.0


class Held:
    """Arrives once a file is gone."""

    def __init__(self, flag: str) -> None:
        self._flag = flag

    def __reduce__(self) -> Any:
        return _arrive, (self._flag,)


def _arrive(flag: str) -> str:
    while Path(flag).exists():
        time.sleep(0.01)
    return "arrived"


class HeldError(Exception):
    def __init__(self, flag: str) -> None:
        super().__init__("held")
        self._flag = flag

    def __reduce__(self) -> Any:
        return _arrive_as_error, (self._flag,)


def _arrive_as_error(flag: str) -> HeldError:
    if Path(f"{flag}.sent").exists():  # the worker has looked whether it survives the way
        _arrive(flag)
    Path(f"{flag}.sent").touch()
    return HeldError(flag)


def hold(number: int, *, flag: str, at: Collection[int]) -> Any:
    """Notes each run in a file of its own, beside the flag."""
    with Path(f"{flag}.{number}").open("a") as file:
        file.write("x")
    return Held(flag) if number in at else [number]


def fail_held(number: int, *, flag: str) -> Any:
    raise HeldError(flag)


@pytest.fixture
def flag(tmp_path: Path) -> Iterator[Path]:
    """There until a test takes it away, or is over."""
    file = tmp_path / "flag"
    file.touch()
    yield file
    file.unlink(missing_ok=True)


def test_other_batches_go_on(start_worker: StartWorker, connect: Connect, flag: Path) -> None:
    """All that the client waited for stood still, and was sent again as lost."""
    start_worker()
    cluster = connect()
    held = cluster.submit(hold, 0, flag=str(flag), at=[0])
    assert list(cluster.map(square, range(100), timeout=PATIENCE)) == [n * n for n in range(100)]
    assert not held.done()
    flag.unlink()
    assert held.result(PATIENCE) == "arrived"


def test_its_neighbours_arrive(start_worker: StartWorker, connect: Connect, flag: Path) -> None:
    start_worker()
    batch = connect().batch(hold, range(9), kwargs={"flag": str(flag), "at": [3, 4, 7]})
    came = batch.as_completed()
    assert sorted(next(came).index for _ in range(6)) == [0, 1, 2, 5, 6, 8]
    flag.unlink()
    assert batch.gather()[3:5] == ["arrived", "arrived"]


def test_it_comes_to_its_end_where_no_thread_can_be_had(
    start_worker: StartWorker, connect: Connect, flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of a program, since Python 3.12: the thread that stood there was let go, and nobody read on."""
    start_worker()
    cluster = connect()
    held = cluster.submit(hold, 0, flag=str(flag), at=[0])
    asked: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        asked.append(thread)
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        wait_until(lambda: len(asked) > 2, "it is to be relieved")
        flag.unlink()
        assert held.result(PATIENCE) == "arrived"
    assert cluster.submit(square, 3).result(PATIENCE) == 9


def test_an_exception_is_no_different(start_worker: StartWorker, connect: Connect, flag: Path) -> None:
    start_worker()
    cluster = connect()
    held = cluster.submit(fail_held, 0, flag=str(flag))
    assert cluster.submit(square, 3).result(PATIENCE) == 9
    flag.unlink()
    with pytest.raises(HeldError):
        held.result(PATIENCE)


def test_it_is_not_taken_for_lost(start_worker: StartWorker, connect: Connect, flag: Path) -> None:
    start_worker()
    cluster = connect(audit_seconds="0.2")
    batch = cluster.batch(hold, range(2), kwargs={"flag": str(flag), "at": [1]})
    wait_until(lambda: batch.progress.done == 1, "its neighbour is there")
    assert len(list(cluster.map(rest, [0.1] * 20, timeout=PATIENCE))) == 20  # as long as ten audits
    flag.unlink()
    assert batch.gather() == [[0], "arrived"]
    assert flag.with_name("flag.1").read_text() == "x"


@pytest.mark.slow
def test_of_many_some_wait_and_none_is_lost(start_worker: StartWorker, connect: Connect, flag: Path) -> None:
    start_worker()
    cluster, count = connect(), MOST_RELIEVED + 3
    held = [cluster.submit(hold, n, flag=str(flag), at=[n]) for n in range(count)]
    wait_until(lambda: sum(thread.name == "manycore-gather" for thread in threading.enumerate()) > MOST_RELIEVED, "all")
    flag.unlink()
    assert [future.result(PATIENCE) for future in held] == ["arrived"] * count
    assert cluster.submit(square, 3).result(PATIENCE) == 9


class Asks:
    """Has its value from the cluster when it arrives."""

    def __reduce__(self) -> Any:
        return _ask, ()


_asked: list[Cluster] = []


def _ask() -> int:
    return _asked[-1].submit(square, 7).result(PATIENCE)


def asks(_: int) -> Any:
    return Asks()


def test_it_may_ask_the_cluster_itself(start_worker: StartWorker, connect: Connect) -> None:
    """It waited for its own thread, for ever."""
    start_worker()
    _asked.append(connect())
    assert _asked[-1].submit(asks, 0).result(PATIENCE) == 49
    _asked.clear()


def test_a_client_that_closes_does_not_wait_for_it(start_worker: StartWorker, connect: Connect, flag: Path) -> None:
    start_worker()
    cluster = connect()
    held = cluster.submit(hold, 0, flag=str(flag), at=[0])
    assert cluster.submit(square, 3).result(PATIENCE) == 9
    begun = time.monotonic()
    cluster.shutdown(wait=False, cancel_futures=True)
    assert held.cancelled() or not held.done()
    assert time.monotonic() - begun < 5
