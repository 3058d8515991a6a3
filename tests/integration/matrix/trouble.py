"""What may go wrong with one item, and where: carried to its place by the item itself."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NoReturn

from manycore import task

EXIT_CODE = 7
VALUE = "value"
"""The result of an item with which nothing went wrong in the end."""


class Unpicklable(Exception):
    """Cannot be sent: it holds a lock."""

    def __init__(self) -> None:
        super().__init__("on purpose", threading.Lock())


def _raise(error: BaseException) -> NoReturn:
    raise error


def _wait(flag: str) -> None:
    while Path(flag).exists():
        time.sleep(0.01)


FAULTS: dict[str, Callable[[str], object]] = {
    "Exception": lambda _: _raise(ValueError("on purpose")),
    "unpicklable": lambda _: _raise(Unpicklable()),
    "SystemExit": lambda _: sys.exit(3),
    "interrupt": lambda _: _raise(KeyboardInterrupt("on purpose")),
    "MemoryError": lambda _: bytes(1 << 62),
    "os._exit": lambda _: os._exit(EXIT_CODE),
    "SIGSEGV": lambda _: ctypes.string_at(0),
    "hang": _wait,
    "hang in C": lambda _: sum(repeat(1)),
}
"""Each takes a file that a hang waits for to vanish; one in C never ends."""


@dataclass(frozen=True)
class Trouble:
    """An item with which `fault` happens at `place`; `flag` is a file while a hang lasts."""

    place: str
    fault: str
    flag: str

    def happen(self) -> None:
        FAULTS[self.fault](self.flag)

    def __reduce__(self) -> Any:
        return _rebuild, (self.place, self.fault, self.flag)


@dataclass(frozen=True)
class Result:
    """What comes of such an item."""

    trouble: Trouble

    def __reduce__(self) -> Any:
        if self.trouble.place == "pickle":
            self.trouble.happen()
        return _receive, (self.trouble,)


def _rebuild(place: str, fault: str, flag: str) -> Trouble:
    trouble = Trouble(place, fault, flag)
    if place == "rebuild":
        trouble.happen()
    return trouble


def _receive(trouble: Trouble) -> str:
    if trouble.place == "receive":
        trouble.happen()
    return VALUE


def held(trouble: Trouble) -> str:
    """The file for which an item waits, so that its callback is there before its outcome is."""
    return f"{trouble.flag}.held"


def meet(item: Any) -> Any:
    """Ten times a number; whatever is to happen with a `Trouble`."""
    if not isinstance(item, Trouble):
        return item * 10
    if item.place == "run":
        item.happen()
    if item.place == "callback":
        _wait(held(item))
    return Result(item)


@task(fleet="cpu")
def on_cpu(item: Any) -> Any:
    return meet(item)


@task(fleet="io")
def on_io(item: Any) -> Any:
    return meet(item)


def troubled_input(numbers: list[int], trouble: Trouble) -> Iterator[int]:
    """The numbers, then what is to happen."""
    yield from numbers
    trouble.happen()
