"""Folders that are filled once and shared by the processes of a host: each under its digest, whole or not at all.

Those that were used longest ago go when there are too many bytes, but for those that a process imports from.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Store(ABC):
    """The folders in `folder`, which this process may share with others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_use: dict[str, int] = {}

    @abstractmethod
    def kept_bytes(self) -> int:
        """Of all folders together. One that is imported from now stays, whatever its size."""

    def place(self, digest: str, fill: Callable[[Path], object]) -> Path:
        """The folder of `digest`; `fill` makes what is in it if it is not there. Raises what that raises."""
        place = self._folder / digest
        if digest not in self._in_use:
            with self._locked():
                if not place.is_dir():
                    self._make(place, fill)
                self._hold(place)
                self._evict()
        os.utime(place)
        return place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time: who comes second finds what the first one made."""
        self._folder.mkdir(mode=0o700, exist_ok=True, parents=True)
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make(self, place: Path, fill: Callable[[Path], object]) -> None:
        for left in self._folder.glob("draft-*"):  # by a process that died: we have the lock
            shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=self._folder, prefix="draft-"))
        try:
            fill(draft)
            draft.rename(place)  # whole or not at all
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _hold(self, place: Path) -> None:
        """Keep it from being dropped for as long as this process lives: the kernel lets go of the lock."""
        descriptor = os.open(_use(place), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._in_use[place.name] = descriptor

    def let_go(self, digest: str) -> None:
        """This process does not import from it any more."""
        descriptor = self._in_use.pop(digest, None)
        if descriptor is not None:
            os.close(descriptor)

    def _evict(self) -> None:
        places = sorted(
            (p for p in self._folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True
        )
        total = 0
        for place in places:
            total += _size(place)
            if total > self.kept_bytes() and _unused(place):
                shutil.rmtree(place, ignore_errors=True)
                _use(place).unlink(missing_ok=True)


def _use(place: Path) -> Path:
    return place.with_suffix(".use")


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _unused(place: Path) -> bool:
    """Whether no process imports from it."""
    try:
        with _use(place).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
