"""Arguments that kill, hang or raise while a worker rebuilds them, and results that do while they are pickled.

In the client they are harmless, or the client could not send them: its environment says that it is one.
"""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass
from typing import Any, Literal

from ops.chaos.items import DEADLY, END, START, Flaw, answer, hang_in_c, note, seconds_of, spin

Kind = Literal[
    "normal",
    "rebuild-kill",
    "rebuild-exit",
    "rebuild-segfault",
    "rebuild-hang",
    "rebuild-raise",
    "result-kill",
    "result-exit",
    "result-hang",
    "result-raise",
    "result-rebuild-raise",
]
RARE: dict[int, Kind] = {
    3: "rebuild-kill",
    11: "result-exit",
    19: "rebuild-raise",
    26: "result-hang",
    31: "result-raise",
    34: "rebuild-exit",
    43: "result-kill",
    47: "rebuild-hang",
    52: "result-rebuild-raise",
    57: "rebuild-segfault",
}
"""Among normal items, so that each has neighbours."""
CRASHING, HANGING = ("-kill", "-exit", "-segfault"), "-hang"
CLIENT = "CHAOS_CLIENT"
"""The environment variable of clients."""


@dataclass(frozen=True)
class Argument:
    """An item of `unwrap`; what it is rebuilt from decides what becomes of whoever rebuilds it."""

    kind: Kind
    index: int
    seed: int
    batch: str
    folder: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.kind, self.index, self.seed, self.batch, self.folder)


class Result:
    """A value that is not to be pickled, or not to be rebuilt."""

    def __init__(self, argument: Argument) -> None:
        self._kind, self._argument = argument.kind, argument

    def __reduce__(self) -> tuple[Any, ...]:
        if self._kind == "result-rebuild-raise":
            return _fail, ()
        try:
            _misbehave(self._kind)
        finally:
            if self._kind.endswith(HANGING):
                note(self._argument.folder, END, self._argument.batch, self._argument.index)
        return _fail, ()


def kind_of(index: int) -> Kind:
    return RARE.get(index, "normal")


def unwrap(argument: Argument) -> Any:
    """Runs once its argument is rebuilt."""
    deadly = argument.kind.endswith((*CRASHING, HANGING))
    note(argument.folder, DEADLY if deadly else START, argument.batch, argument.index)
    spin(seconds_of(argument.seed, argument.index))
    if not deadly:
        note(argument.folder, END, argument.batch, argument.index)
    return Result(argument) if argument.kind.startswith("result") else answer(argument.seed, argument.index)


def _rebuild(kind: Kind, index: int, seed: int, batch: str, folder: str) -> Argument:
    if kind.startswith("rebuild") and CLIENT not in os.environ:
        note(folder, START if kind == "rebuild-raise" else DEADLY, batch, index)
        try:
            _misbehave(kind)
        finally:
            if kind.endswith(HANGING):
                note(folder, END, batch, index)
    return Argument(kind, index, seed, batch, folder)


def _misbehave(kind: Kind) -> None:
    if kind.endswith("-kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind.endswith("-exit"):
        os._exit(5)
    elif kind.endswith("-segfault"):
        ctypes.string_at(0)
    elif kind.endswith(HANGING):
        hang_in_c()
    _fail()


def _fail() -> None:
    raise Flaw("it is made so")
