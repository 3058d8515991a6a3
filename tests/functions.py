"""What the integration tests run on workers: small, importable, without anything of the tests' own."""

from __future__ import annotations

import builtins
import ctypes
import mmap
import os
import platform
import signal
import threading
import time
from pathlib import Path
from typing import Any

from manycore import task


def square(number: int) -> int:
    return number * number


def busy(seconds: float) -> float:
    """Keep a core busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def fail_on_seven(number: int) -> int:
    if number == 7:
        raise KeyError("seven")
    return number


def leave(number: int, *, at: int = -1, how: str = "exit") -> int:
    """End the process on item `at`: by `os._exit(3)`, SIGKILL, a segmentation fault, or with the whole worker."""
    if number == at:
        if how == "exit":
            os._exit(3)
        if how == "worker":
            os.kill(os.getppid(), signal.SIGKILL)
        if how in ("kill", "worker"):
            os.kill(os.getpid(), signal.SIGKILL)
        ctypes.string_at(0)
    return number


def leave_while(number: int, *, flag: str, at: int = 0) -> int:
    """Kill the process on item `at` for as long as the file `flag` is there."""
    if number == at and Path(flag).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hold_while(number: int, *, deadly: str, slow: str) -> int:
    """Die while the file `deadly` is there; else be busy while `slow` is, with any item but the first."""
    leave_while(0, flag=deadly)
    while number and Path(slow).exists():
        busy(0.01)
    return number


def fail_and_hold(number: int, *, flag: str) -> None:
    """Fail with the first item; be busy with any other while the file `flag` is there."""
    while number and Path(flag).exists():
        busy(0.01)
    if not number:
        raise OSError("the first")


def measure(data: bytes, *, flag: str) -> int:
    """The length of `data`; kill the process instead for as long as the file `flag` is there."""
    leave_while(0, flag=flag)
    return len(data)


def note_run(number: int, *, folder: str, at: int = -1, how: str = "exit") -> int:
    """Leave a file for each run; end the process on item `at`."""
    with (Path(folder) / str(number)).open("a") as file:
        file.write("x")
    return leave(number, at=at, how=how)


def note_and_wait(number: int, *, folder: str, seconds: float) -> int:
    """Leave a file for each run, and be busy for a while."""
    busy(seconds)
    return note_run(number, folder=folder)


@task
def long_task(folder: str, seconds: float) -> str:
    """Leave a file for each run, then be busy: for plain Celery calls, by name."""
    note_run(0, folder=folder)
    busy(seconds)
    return "done"


def fail_first(number: int, *, folder: str, times: int = 1) -> int:
    """Fail so many times, then succeed; the folder remembers."""
    path = Path(folder) / str(number)
    tries = len(path.read_text()) if path.exists() else 0
    path.write_text("x" * (tries + 1))
    if tries < times:
        raise OSError(f"attempt {tries + 1} of item {number}")
    return tries + 1


def hold_the_gil(seconds: float) -> float:
    """Sleep inside C code without giving up the GIL: nothing in Python can interrupt it."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    return seconds


def lock(_: Any) -> Any:
    return threading.Lock()


def worker_pid(_: Any = None) -> int:
    return os.getpid()


def parent_pid(_: Any = None) -> int:
    return os.getppid()


class NeedsTwo(Exception):
    """Pickles, but cannot be rebuilt: pickle calls it with one argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


def raise_needs_two(_: Any) -> None:
    raise NeedsTwo("a", "b")


class CannotArrive:
    """Pickles, and raises when it is rebuilt."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("not here")


def die(folder: str) -> None:
    """Leave a mark in `folder`, then end the process."""
    with (Path(folder) / "deaths").open("a") as file:
        file.write("x")
    os._exit(7)


def run_what_no_cpu_knows(folder: str) -> None:
    """Leave a mark in `folder`, then run an instruction that no CPU has, as a wheel for another one does."""
    with (Path(folder) / "deaths").open("a") as file:
        file.write("x")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write({"x86_64": b"\x0f\x0b", "aarch64": bytes(4)}[platform.machine()])
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def end_badly(folder: str, how: str) -> None:
    """Leave a mark in `folder`, then end by the exception of this name, or as `leave` does, or not at all (`hang`)."""
    note_run(0, folder=folder)
    if how == "hang":
        while True:
            time.sleep(0.01)
    if isinstance(kind := getattr(builtins, how, None), type) and issubclass(kind, BaseException):
        raise kind("at the end")
    leave(0, at=0, how=how)


class EndsBadly:
    """Ends badly when it is rebuilt."""

    def __init__(self, folder: str, how: str) -> None:
        self.args = folder, how

    def __reduce__(self) -> Any:
        return end_badly, self.args


@task
def echo(value: Any, *_: Any) -> Any:
    return value


@task
def ends_badly(folder: str, how: str) -> None:
    """For plain Celery calls: `end_badly` while it runs."""
    end_badly(folder, how)


@task
def gives_bad_end(folder: str, how: str) -> EndsBadlyOnItsWay:
    """For plain Celery calls: a result that ends badly while it is pickled."""
    return EndsBadlyOnItsWay(folder, how)


class EndsBadlyOnItsWay:
    """Ends badly when it is pickled."""

    def __init__(self, folder: str, how: str) -> None:
        self.args = folder, how

    def __reduce__(self) -> Any:
        end_badly(*self.args)
        return EndsBadlyOnItsWay, self.args


class EndsParent:
    """Ends, when it is rebuilt, the parent of the process that made it; elsewhere it is a string."""

    def __init__(self) -> None:
        self.pid = os.getppid()

    def __reduce__(self) -> Any:
        return _end_process, (self.pid,)


def _end_process(pid: int) -> str:
    if os.getpid() == pid:
        os._exit(3)
    return "elsewhere"


@task
def ends_parent() -> EndsParent:
    """For plain Celery calls: a result that ends its worker's parent if that rebuilds it."""
    return EndsParent()


@task
def sleeps(folder: str, seconds: float) -> str:
    """For plain Celery calls: leave a file for each run, then wait."""
    note_run(1, folder=folder)
    time.sleep(seconds)
    return "done"


@task
def ends_on_error(request: Any, exc: Any, traceback: Any) -> None:
    """For plain Celery calls: what Celery runs in the very process in which a call has failed."""
    os._exit(3)


@task
def dies_while(flag: str) -> int:
    """For plain Celery calls: `leave_while`."""
    return leave_while(0, flag=flag)


class EndsWhenShown:
    """Ends the process that made it when that shows it, as Celery does once a result is stored."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pid = os.getpid()

    def __repr__(self) -> str:
        if os.getpid() == self.pid:
            end_badly(self.folder, "exit")
        return "elsewhere"


@task
def gives_what_ends_when_shown(folder: str) -> EndsWhenShown:
    return EndsWhenShown(folder)


@task
def ends_with(folder: str, flag: str) -> str:
    """For plain Celery calls: leave a file for each run, then wait for the file `flag`."""
    note_run(1, folder=folder)
    while not (Path(folder) / flag).exists():
        time.sleep(0.01)
    return "done"


def fail_while(item: Any, *, flag: str, each: int) -> Any:
    """Give the item back; fail with each so many-th number, and with all that is no number, while `flag` is there."""
    if Path(flag).exists() and (not isinstance(item, int) or item % each == 0):
        raise OSError(f"not {item!r:.20}")
    return item


def rest(seconds: float) -> float:
    """Wait for so long: whatever else the machine does, it takes no longer."""
    time.sleep(seconds)
    return seconds
