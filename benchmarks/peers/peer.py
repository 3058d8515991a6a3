"""The one interface of all peers, and what a peer says of itself.

A file of a peer is read by whoever makes the table, in a Python that may lack the peer's package: so it imports that
package where it is opened, not above.
"""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

URL_VARIABLE = "BENCHMARK_URL"
"""Where the embedded server is: workers that a peer starts read it from their environment."""
BEST_VARIABLE = "BENCHMARK_BEST"
RESULT_SECONDS = 60
"""How long a call of a peer may take; a peer without an answer by then is said to have failed."""
EVERYTHING = frozenset(
    {"submit", "map", "efficiency", "roundtrip", "small", "cpu", "payload", "broadcast", "cold", "import"}
)
BATCHED = frozenset({"map", "efficiency", "cpu"})
"""The measures that a chunksize, or a list made by hand, changes."""

Function = Callable[[Any], Any]


class CannotDo(Exception):
    """The peer has no way to do this; the message says why, and the table shows it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a peer is opened: `best` asks for its best documented setting, `url` is the server's, if it needs one."""

    workers: int
    best: bool
    measure: str
    url: str
    folder: Path


class Peer(ABC):
    """One way to run Python functions side by side. Opened once in a fresh process, for one measure."""

    title: ClassVar[str]
    package: ClassVar[str] = ""
    """The distribution that it comes with; the standard library's if empty."""
    module: ClassVar[str] = "concurrent.futures"
    """What is imported to use it."""
    needs_server: ClassVar[bool] = False
    baseline: ClassVar[bool] = False
    """Whether it is shown to compare with, but cannot be the best: it has no processes of its own."""
    best: ClassVar[str] = ""
    """The best setting that its documentation names, in a few words; empty if there is none beside its default."""
    best_changes: ClassVar[frozenset[str]] = frozenset()
    """The measures that this setting changes; the others are measured once."""
    chunked: ClassVar[bool] = False
    """Whether `map` at its best takes a chunksize: then some are tried, and the best of them is measured."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """By measure, why it has no answer there, in any setting."""
    cannot_by_default: ClassVar[Mapping[str, str]] = {}

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def open(self) -> None:
        """Start the workers. They may still be starting when this returns."""

    def close(self) -> None:
        """End what `open` started. Of workers that `start` started nothing is worth a farewell."""
        for process in self._processes:
            process.kill()

    @abstractmethod
    def submit(self, function: Function, item: Any) -> Any:
        """Begin one call; gives what `results` takes."""

    @abstractmethod
    def results(self, calls: Sequence[Any]) -> Iterable[Any]:
        """The results of these calls, in their order."""

    def map(self, function: Function, items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        """All results, in order. `chunksize` is a number at its best, if it is `chunked`, and else None."""
        return self.results([self.submit(function, item) for item in items])

    @abstractmethod
    def broadcast(self, value: bytes, items: Sequence[int]) -> Iterable[int]:
        """`size_of(value, item)` for each item."""

    def start(self, *command: str) -> None:
        """Start workers by `python -m <command>`; `close` ends them."""
        self._processes.append(
            subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )


def parts(items: Sequence[Any], size: int) -> list[list[Any]]:
    """Consecutive lists of `size` items: what people make by hand where nothing makes them."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def flat(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """The items of these lists, in order."""
    return [item for part in lists for item in part]
