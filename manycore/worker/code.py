"""A caller's modules on this host: kept once in a folder, and imported from there while an item of theirs runs.

1. `CodeStore` writes a verified archive into a folder of its own, once for all children of a worker, and drops the
   archives that were used longest ago when there are too many bytes.
2. `Imports` makes a process import from one archive at a time. The modules of the archive that it leaves are put aside
   with it, and so are modules of the worker's own that have the same names: neither side ever sees the other's.
"""

from __future__ import annotations

import fcntl
import importlib
import linecache
import os
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from types import ModuleType

from manycore.protocol.archive import module_of

KEPT_BYTES = 256 * 1024 * 1024
"""Of all archives of one worker. One that a child imports from now stays, whatever its size."""
KEPT_IMPORTS = 4
"""How many archives' imported modules a process keeps, for clients that take turns."""


class CodeStore:
    """The archives in `folder`, which this process may share with others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_use: dict[str, int] = {}

    def path(self, digest: str, fetch: Callable[[], dict[str, bytes]]) -> Path:
        """The folder with the files of `digest`; `fetch` gives them if they are not there. Raises what it raises."""
        place = self._folder / digest
        if digest not in self._in_use:
            with self._locked():
                if not place.is_dir():
                    self._write(place, fetch())
                self._hold(place)
                self._evict()
        os.utime(place)
        return place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time: who comes second finds what the first one wrote."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write(self, place: Path, files: dict[str, bytes]) -> None:
        draft = Path(tempfile.mkdtemp(dir=self._folder, prefix="draft-"))
        try:
            for path, content in files.items():
                target = draft / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            draft.rename(place)  # whole or not at all
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _hold(self, place: Path) -> None:
        """Keep it from being dropped for as long as this process lives: the kernel lets go of the lock."""
        descriptor = os.open(place.with_suffix(".use"), os.O_RDWR | os.O_CREAT, 0o600)
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
            if total > KEPT_BYTES and _unused(place):
                shutil.rmtree(place, ignore_errors=True)
                place.with_suffix(".use").unlink(missing_ok=True)


class Imports:
    """From which archive this process imports. Threads that need the same one run together; others wait their turn."""

    def __init__(self, store: CodeStore, forget: Callable[[str], object]) -> None:
        """`forget` is told of each archive whose modules are dropped: what was built from them must go, too."""
        self._store = store
        self._forget = forget
        self._active: tuple[str, Path] | None = None
        self._own: dict[str, ModuleType] = {}
        self._aside: OrderedDict[str, dict[str, ModuleType]] = OrderedDict()
        self._users = 0
        self._others_waiting = 0
        self._free = Condition()

    @contextmanager
    def of(self, digest: str | None, fetch: Callable[[], dict[str, bytes]]) -> Iterator[None]:
        """Import from the archive of this digest meanwhile; None needs none. Raises what `fetch` raises."""
        if digest is None:
            yield
            return
        with self._free:
            self._await_turn(digest)
            dropped = self._enter(digest, fetch)
            self._users += 1
        del dropped  # not under the lock: the end of a module's objects may run anything
        try:
            yield
        finally:
            with self._free:
                self._users -= 1
                self._free.notify_all()

    def _await_turn(self, digest: str) -> None:
        """Wait until nobody uses another archive; whoever has waited for that comes before who came after."""
        if self._is_active(digest) and not self._others_waiting:
            return
        self._others_waiting += 1
        try:
            self._free.wait_for(lambda: not self._users or self._is_active(digest))
        finally:
            self._others_waiting -= 1

    def _is_active(self, digest: str) -> bool:
        return self._active is not None and self._active[0] == digest

    def _enter(self, digest: str, fetch: Callable[[], dict[str, bytes]]) -> list[object]:
        if self._is_active(digest):
            return []
        path = self._store.path(digest, fetch)
        dropped = self._leave()
        names = names_in(path)
        self._own = _taken_out(names)
        sys.modules.update(self._aside.pop(digest, {}))
        sys.path.insert(0, str(path))
        importlib.invalidate_caches()
        linecache.checkcache()
        self._active = (digest, path)
        return dropped

    def _leave(self) -> list[object]:
        """Put the active archive's modules aside; gives what is kept no longer."""
        if self._active is None:
            return []
        digest, path = self._active
        self._active = None
        sys.path[:] = [entry for entry in sys.path if entry != str(path)]
        self._aside[digest] = _taken_out(names_in(path))
        sys.modules.update(self._own)
        self._own = {}
        dropped: list[object] = []
        while len(self._aside) > KEPT_IMPORTS:
            oldest, modules = self._aside.popitem(last=False)
            self._store.let_go(oldest)
            dropped += [modules, self._forget(oldest)]
        return dropped


def names_in(path: Path) -> frozenset[str]:
    """The top-level modules of an archive's folder."""
    found = {entry.name if entry.is_dir() else module_of(entry.name) for entry in path.iterdir()}
    return frozenset(found) - {"", "__pycache__"}


def _taken_out(names: frozenset[str]) -> dict[str, ModuleType]:
    """Remove the modules of these top-level names from `sys.modules`; gives them."""
    taken = [name for name in list(sys.modules) if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in taken}


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _unused(place: Path) -> bool:
    """Whether no process imports from it."""
    try:
        with place.with_suffix(".use").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
