"""`time_limit` interrupts Python code softly, and ends a process that cannot be interrupted."""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import pytest

from manycore.errors import ItemTimeout
from manycore.worker.child import limits
from manycore.worker.child.limits import hard_limit, time_limit
from manycore.worker.strikes import HARD_GRACE_SECONDS


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "trace").open("wb") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _handler)
    yield
    signal.signal(signal.SIGALRM, before)
    hard_limit.disarm()


def _handler(*_: object) -> None:
    pytest.fail("the previous handler got the alarm")


def spin() -> None:
    while True:
        pass


def test_a_busy_loop_is_interrupted(trace: BinaryIO) -> None:
    with pytest.raises(ItemTimeout, match=r"timeout of 0\.05 s\."), time_limit(0.05, trace):
        spin()


def test_the_previous_handler_is_back_after_a_timeout(trace: BinaryIO) -> None:
    with pytest.raises(ItemTimeout), time_limit(0.05, trace):
        spin()
    assert signal.getsignal(signal.SIGALRM) is _handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_nothing_is_left_after_an_item_in_time(trace: BinaryIO) -> None:
    with time_limit(60, trace):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getsignal(signal.SIGALRM) is _handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_items_own_error_passes(trace: BinaryIO) -> None:
    with pytest.raises(KeyError), time_limit(60, trace):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_another_thread_is_not_interrupted(trace: BinaryIO) -> None:
    handlers: list[object] = []

    def limited() -> None:
        with time_limit(60, trace):
            handlers.append(signal.getsignal(signal.SIGALRM))

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert handlers == [_handler]


def test_one_arming_serves_the_items_that_follow_soon(trace: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    armed: list[float] = []
    clock = iter([100.0, 100.0, 100.3, 100.6, 100.6, 200.0, 200.0])  # seen at each look, and noted at each arming
    monkeypatch.setattr(limits, "monotonic", lambda: next(clock))
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **_: armed.append(seconds))
    own = limits.HardLimit()
    for _ in range(3):
        own.arm(2.0, trace)  # at 100.0, and 0.3 and 0.6 s later: there the first one would strike too soon
    own.arm(5.0, trace)
    assert armed == [3.0, 3.0, 6.0]


@pytest.mark.parametrize(("took", "stays"), [(0.0, True), (30.0, True), (30.9, False), (600.0, False)])
def test_a_limit_that_is_over_as_an_item_ends_does_not_strike_at_the_next_one(
    took: float, stays: bool, trace: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process was frozen: the watchdog and the item go on at the same moment."""
    began = monotonic()
    with time_limit(30, trace):
        monkeypatch.setattr(limits, "monotonic", lambda: began + took)
    assert (hard_limit._strikes_at > 0) is stays


def test_what_is_not_counted_comes_on_top(trace: BinaryIO) -> None:
    with time_limit(60, trace):
        with limits.uncounted():
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
            assert hard_limit._strikes_at < 0
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
        assert 0 < hard_limit._strikes_at - monotonic() <= 60 + HARD_GRACE_SECONDS


def test_the_limit_goes_on_where_waiting_fails(trace: BinaryIO) -> None:
    with time_limit(60, trace):
        with pytest.raises(KeyError), limits.uncounted():
            raise KeyError
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        assert hard_limit._strikes_at > 0


def test_an_alarm_of_the_items_own_goes_on() -> None:
    signal.setitimer(signal.ITIMER_REAL, 60)
    with limits.uncounted():
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    signal.setitimer(signal.ITIMER_REAL, 0)


STUBBORN = """
import sys
from manycore.errors import ItemTimeout
from manycore.worker.child import limits
limits.HARD_GRACE_SECONDS = 0.5
def stubborn():
    while True:
        try:
            passed = 0  # first: a jump to the very first instruction of a `try` is not covered by it
            while True: passed += sum(range(100))
        except ItemTimeout:
            pass
with open(sys.argv[1], "wb") as trace, limits.time_limit(2.0, trace):
    stubborn()
"""


def test_what_goes_on_regardless_ends_with_its_process_and_a_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUBBORN, str(tmp_path / "trace")]
    ended = subprocess.run(command, timeout=30, check=False, capture_output=True)
    assert ended.returncode == 1
    assert "in stubborn" in (tmp_path / "trace").read_text()


LATE = """
import linecache, signal, sys
from time import monotonic
from manycore.errors import ItemTimeout
from manycore.worker.child import limits

LIMIT = 30
limits.HARD_GRACE_SECONDS = 0.1 - LIMIT
struck = []

def strike(frame, event, _):
    line = linecache.getline(limits.__file__, frame.f_lineno)
    if event == "line" and "ITIMER_REAL, 0)" in line and not struck:
        struck.append(line)
        signal.raise_signal(signal.SIGALRM)
    return strike

with open(sys.argv[1], "wb") as trace:
    sys.settrace(lambda frame, *_: strike if frame.f_code.co_filename == limits.__file__ else None)
    try:
        with limits.time_limit(LIMIT, trace):
            pass
    except ItemTimeout:
        pass
    limits.hard_limit.disarm()
    sys.settrace(None)
    end = monotonic() + 0.3
    while monotonic() < end:
        pass
print(len(struck), signal.getsignal(signal.SIGALRM) == signal.SIG_DFL)
"""


def test_an_alarm_at_the_very_end_leaves_nothing_armed(tmp_path: Path) -> None:
    """It strikes when the item is done, just before its timer is switched off."""
    command = [sys.executable, "-c", LATE, str(tmp_path / "trace")]
    ended = subprocess.run(command, timeout=30, check=False, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("1 True\n", "", 0)


COPY = """
import os, select, signal, sys
from manycore.worker.child import limits

LIMIT = 30
with open(sys.argv[1], "wb") as trace, limits.time_limit(LIMIT, trace):
    copy = os.fork()
    if not copy and sys.argv[2] == "waits":
        with limits.uncounted():
            os._exit(0)
    if not copy:
        now = limits.monotonic() + LIMIT + 1
        limits.monotonic = lambda: now
if not copy:
    os._exit(0)
if not select.select([os.pidfd_open(copy)], [], [], 10)[0]:
    os.kill(copy, signal.SIGKILL)
print(os.waitpid(copy, 0)[1], limits.hard_limit._strikes_at > 0)
os._exit(0)
"""


@pytest.mark.parametrize("does", ["waits", "outlasts it"])
def test_a_copy_that_an_item_forks_does_not_wait_for_the_watchdog_of_its_original(does: str, tmp_path: Path) -> None:
    command = [sys.executable, "-uc", COPY, str(tmp_path / "trace"), does]
    ended = subprocess.run(command, timeout=30, check=False, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("0 True\n", "", 0)
