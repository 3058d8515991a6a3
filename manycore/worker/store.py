"""Folders that are filled once and shared by the processes of a host: each under its digest, whole or not at all.

Those that were used longest ago go when there are too many bytes, but for those that a process imports from.
Cleaners of temporary folders take what is old file by file, and leave the rest: so beside each is a list of what must
be there, and one that is not whole is made again. systemd's cleaner leaves alone a folder that is locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manycore.protocol.unlocking import is_locked_within, unlocking

DRAFT = "draft-"


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
        if not (_is_whole(place) and self._holds(place)):
            with self._locked():
                if not _is_whole(place):
                    self._make(place, fill)
                self._hold(place)
                self._evict()
        with suppress(OSError):  # another process makes it again just now
            for used in (place, _list(place)):
                os.utime(used)
        return place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time: who comes second finds what the first one made."""
        self._folder.mkdir(mode=0o700, exist_ok=True, parents=True)
        with (self._folder / "lock").open("w") as file, unlocking(file.fileno()):
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make(self, place: Path, fill: Callable[[Path], object]) -> None:
        self._sweep()
        draft = Path(tempfile.mkdtemp(dir=self._folder, prefix=DRAFT))
        try:
            fill(draft)
            if place.exists():  # what is left of it
                place.rename(tempfile.mkdtemp(dir=self._folder, prefix=DRAFT))
            draft.rename(place)  # whole or not at all
            _list(place).write_bytes(b"\0".join(map(os.fsencode, _names(place))))
        finally:
            self._sweep()

    def _sweep(self) -> None:
        """Drop what is no folder of a digest's, or of one that died with it: we have the lock."""
        for left in self._folder.glob(f"{DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _holds(self, place: Path) -> bool:
        """Not if another process had to make it again."""
        descriptor = self._in_use.get(place.name)
        try:
            return descriptor is not None and os.path.samestat(os.fstat(descriptor), os.stat(place))
        except OSError:
            return False

    def _hold(self, place: Path) -> None:
        """Keep it from being dropped for as long as this process lives: the kernel lets go of the lock."""
        self.let_go(place.name)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
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
                _list(place).unlink(missing_ok=True)


def _list(place: Path) -> Path:
    return place.with_suffix(".list")


def _names(place: Path) -> list[str]:
    """The files that must be there: what is compiled from them need not."""
    return [
        os.path.relpath(os.path.join(folder, file), place)
        for folder, _, files in os.walk(place)
        if os.path.basename(folder) != "__pycache__"
        for file in files
    ]


def _is_whole(place: Path) -> bool:
    """Two microseconds a file, which an import takes a hundred times."""
    try:
        listed = _list(place).read_bytes()
    except OSError:
        return False
    here = os.fsencode(place)
    return place.is_dir() and all(os.path.lexists(os.path.join(here, name)) for name in listed.split(b"\0"))


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _unused(place: Path) -> bool:
    """Whether no process imports from it."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        with unlocking(descriptor):
            return is_locked_within(descriptor, 0.0)
    finally:
        os.close(descriptor)
