"""Time limits on threads: an exception in the item, in no other thread, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from manycore.errors import ItemTimeout
from manycore.worker.child.alarm import watchdog
from manycore.worker.child.limits import time_limit, uncounted
from tests.programs import run


def on_a_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(timeout=30)


def spin(seconds: float = 30.0) -> str:
    end = monotonic() + seconds
    while monotonic() < end:
        pass
    return "done"


def limited(seconds: float, work: Callable[[], Any]) -> Any:
    with time_limit(seconds, BytesIO()):
        return work()


def test_a_busy_thread_is_interrupted() -> None:
    with pytest.raises(ItemTimeout, match=r"timeout of 0\.05 s\.") as caught:
        on_a_thread(lambda: limited(0.05, spin))
    assert type(caught.value) is ItemTimeout, "the exact type: it travels to another process"


def test_an_item_in_time_returns() -> None:
    assert on_a_thread(lambda: limited(30, lambda: "done")) == "done"


def test_an_items_own_error_passes() -> None:
    with pytest.raises(KeyError):
        on_a_thread(lambda: limited(30, lambda: dict[str, int]()["x"]))


def test_only_the_late_thread_is_interrupted() -> None:
    with ThreadPoolExecutor(4) as pool:
        late = [pool.submit(limited, 0.05, spin) for _ in range(2)]
        in_time = [pool.submit(limited, 30, lambda: spin(0.3)) for _ in range(2)]
        assert [future.result(timeout=30) for future in in_time] == ["done"] * 2
        assert [type(future.exception(timeout=30)) for future in late] == [ItemTimeout] * 2


def test_a_limit_that_strikes_at_the_very_end_leaves_nothing_behind() -> None:
    """Items about as long as their limit: each returns or times out, and what follows it is never interrupted."""

    def many() -> int:
        late = 0
        for _ in range(300):
            try:
                limited(0.001, lambda: spin(0.001))
            except ItemTimeout:
                late += 1
            spin(0.0002)
        return late

    assert 0 <= on_a_thread(many) <= 300


def test_a_shorter_limit_is_not_held_up_by_a_longer_one() -> None:
    waiting = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(limited, 30, waiting.wait)
        with pytest.raises(ItemTimeout):
            pool.submit(limited, 0.05, spin).result(timeout=30)
        waiting.set()
        long.result(timeout=30)


def test_what_is_not_counted_comes_on_top() -> None:
    def work() -> None:
        with uncounted():
            spin(0.3)
        reached.append(True)
        spin()

    reached: list[bool] = []
    with pytest.raises(ItemTimeout):
        on_a_thread(lambda: limited(0.1, work))
    assert reached == [True]


def test_of_a_limit_that_is_over_nothing_is_held() -> None:
    """The alarm of the item before is still there, called off."""

    def work() -> str:
        limited(3600, lambda: None)
        with uncounted():
            return spin(0.01)

    assert on_a_thread(work) == "done"


def test_nothing_is_kept_of_items_in_time() -> None:
    def many() -> int:
        for _ in range(1000):
            limited(3600, lambda: None)
        return len(watchdog._alarms)

    before = len(watchdog._alarms)
    assert on_a_thread(many) <= before + 1


PROFILED_AFTERWARDS = """
import faulthandler, threading
from cProfile import Profile
from io import BytesIO
from time import monotonic
from manycore.errors import ItemTimeout
from manycore.worker.child.limits import time_limit

def item():
    try:
        with time_limit(0.01, BytesIO()):
            while True:
                pass
    except ItemTimeout:
        print("struck")

thread = threading.Thread(target=item)
thread.start()
thread.join()
faulthandler.dump_traceback_later(30, exit=True)
with Profile() as profile:
    for number in range(1000):
        list(range(number))
print("profiled")
"""


def test_a_limit_that_has_struck_leaves_the_interpreter_as_it_was(tmp_path: Path) -> None:
    """Whoever profiled anything in that process afterwards hung for good, on Python 3.11; on 3.12 all was slower."""
    assert run(tmp_path, "-c", PROFILED_AFTERWARDS).split() == ["struck", "profiled"]
