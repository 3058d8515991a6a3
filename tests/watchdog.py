"""The watchdog of the tests, as hooks of pytest: what hangs says where, in each of its processes, and fails.

pytest-timeout ends a test that takes too long (`timeout` in pyproject.toml, or the test's own mark) and shows the
threads of this process. Here the other processes are added; and what that cannot end, because it sits in C code, in
the teardown that follows, or in the exit of Python, ends the process, with the stacks of all threads. Under
pytest-xdist its test has failed then, and the others go on in a new process; but one that hangs at its exit is ended
without a word, so no thread may be left that Python would wait for.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

GRACE_SECONDS = 30.0
"""From a test's limit to the end of the run. Taken again for its teardown, and for the exit of Python."""
LEFT_SECONDS = 5.0
DUMP_SECONDS = 2.0
TAIL_BYTES = 6_000
_stderr: list[int] = []
"""The real one, below pytest's capture."""


class Watch(threading.Thread):
    """Shows the processes of a test once, when it has had its time; a thread, since the test may not come back."""

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._changed = threading.Condition()
        self._until: float | None = None

    def set(self, seconds: float | None) -> None:
        with self._changed:
            self._until = None if seconds is None else monotonic() + seconds
            self._changed.notify()

    def run(self) -> None:
        while True:
            with self._changed:
                left = None if self._until is None else self._until - monotonic()
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                self._until = None
            # Children first: with a parent that ends, its children do.
            shown = "\n".join(
                ["", "Processes of a test that hangs:", *map(_describe, reversed([*descendants(os.getpid())])), ""]
            )
            os.write(_stderr[0], shown.encode(errors="replace"))


_watch = Watch()


def pytest_configure() -> None:
    _stderr.append(os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2))
    os.environ["PYTHONFAULTHANDLER"] = "1"  # for the processes of the tests: SIGABRT then shows their stacks
    _watch.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    limit = _limit(item)
    if limit:
        _watch.set(None if _debugging() else limit)
        _end_after(limit + GRACE_SECONDS)
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    _end_after(GRACE_SECONDS)  # again: a failure has ended pytest-timeout's watch, and pytest itself has ended ours
    yield
    _watch.set(None)
    faulthandler.cancel_dump_traceback_later()


def pytest_unconfigure() -> None:
    _end_after(GRACE_SECONDS)


@pytest.fixture(autouse=True, scope="session")
def no_thread_left() -> Iterator[None]:
    """All that the tests have begun has ended, when everything of theirs is closed."""
    yield
    deadline = monotonic() + LEFT_SECONDS
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join(max(0.0, deadline - monotonic()))
            assert not thread.is_alive(), f"Python would wait for {thread} at its exit"


def _end_after(seconds: float) -> None:
    if not _debugging():
        faulthandler.dump_traceback_later(seconds, exit=True, file=_stderr[0])


def _debugging() -> bool:
    return sys.gettrace() is not None


def _limit(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    if mark is not None and mark.args:
        return float(mark.args[0])
    return float(item.config.getoption("timeout") or item.config.getini("timeout") or 0)


def descendants(pid: int) -> Iterator[int]:
    """The processes below `pid`, each after its parent."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from descendants(child)


def _describe(pid: int) -> str:
    """What a process is, and the stacks of its threads, which end it: its supervisor starts another for the others."""
    try:
        folder = Path(f"/proc/{pid}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        head = f"{pid} (child of {status['PPid']}), {status['State']}: {command[-200:]}"
        caught = int(status["SigCgt"], 16) >> (signal.SIGABRT - 1) & 1
        log = os.readlink(folder / "fd/2")
        python = command.startswith(sys.executable) and not log.endswith("/supervisor.log")
        return f"{head}\n{_stacks(pid)}" if python and caught else head
    except (OSError, KeyError) as exc:
        return f"{pid}: {exc}"


def _stacks(pid: int) -> str:
    """What the process writes to its standard error, a file, when it aborts."""
    errors = Path(os.readlink(f"/proc/{pid}/fd/2"))
    if not errors.is_file():
        return f"(its standard error is {errors}, no file)"
    with errors.open("rb") as file:
        file.seek(0, os.SEEK_END)
        os.kill(pid, signal.SIGABRT)
        _wait_for_end(pid)
        return file.read(TAIL_BYTES).decode(errors="replace")


def _wait_for_end(pid: int) -> None:
    with suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            select.select([process], [], [], DUMP_SECONDS)
        finally:
            os.close(process)
