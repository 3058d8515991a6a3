"""A caller's modules on this host: kept once in a folder, and imported from there while an item of theirs runs.

1. `CodeStore` writes a verified archive into a folder of its own, once for all children of a worker, and drops the
   archives that were used longest ago when there are too many bytes.
2. `Imports` makes a process import from one archive at a time. The modules of the archive that it leaves are put aside
   with it, and so are modules of the worker's own that have the same names: neither side ever sees the other's.
"""

from __future__ import annotations

import importlib
import linecache
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

from manycore.errors import MessageRefused
from manycore.protocol.archive import STANDARD, module_of
from manycore.protocol.requirements import world_of
from manycore.worker.layer import Layer
from manycore.worker.packages import PackageStore
from manycore.worker.store import Store

OWN = ""
"""The world in which nothing is imported but what the worker has itself."""
KEPT_BYTES = 256 * 1024 * 1024
"""Of all archives of one worker. One that a child imports from now stays, whatever its size."""
KEPT_IMPORTS = 4
"""How many archives' imported modules a process keeps, for clients that take turns."""
KEPT_PACKAGES = 16
"""The same of sets of packages. Many a compiled module cannot be imported twice in one process."""


class CodeStore(Store):
    """The archives of one worker."""

    def kept_bytes(self) -> int:
        return KEPT_BYTES

    def path(self, digest: str, fetch: Callable[[], dict[str, bytes]]) -> Path:
        """The folder with the files of `digest`; `fetch` gives them if they are not there. Raises what it raises, and
        `MessageRefused` for what is no digest: the name of a folder may not lead out of the store."""
        if not digest.isalnum():
            raise MessageRefused(f"its archive of code is called {digest!r:.60}, which is no digest")
        return self.place(digest, lambda draft: _write(draft, fetch()))


class Imports:
    """From where this process imports beside its own: an archive, packages, or both, which make a world.

    Threads that need the same one run together; others wait their turn. An archive comes before what the worker has
    itself, packages after it.
    """

    def __init__(self, store: CodeStore, forget: Callable[[str], object], packages: PackageStore | None = None) -> None:
        """`forget` is told of each world whose modules are dropped: what was built from them must go, too."""
        self._store = store
        self._packages = packages
        self._forget = forget
        self._key: str | None = OWN  # None while there is none, since one could not be entered
        self._code = Layer(KEPT_IMPORTS, first=True)
        self._added = Layer(KEPT_PACKAGES, first=False)
        self._codes: dict[str, str] = {}
        self._own: frozenset[str] = frozenset()
        self._users = 0
        self._others_waiting = 0
        self._free = Condition()

    @contextmanager
    def of(
        self, code: str | None, fetch: Callable[[], dict[str, bytes]], packages: tuple[str, ...] = ()
    ) -> Iterator[None]:
        """Import from the archive of this digest, and these packages, meanwhile; from neither if there is none: to
        import nobody else's modules is a world, too. Raises what `fetch` raises, or `PackagesFailed`."""
        key = world_of(code, packages) or OWN
        with self._free:
            self._await_turn(key)
            dropped = self._enter(key, code, fetch, packages)
            self._users += 1
        del dropped  # not under the lock: the end of a module's objects may run anything
        try:
            yield
        finally:
            with self._free:
                self._users -= 1
                self._free.notify_all()

    def own(self) -> None:
        """Import what the worker has itself, for its own tasks: from now on in a process, and on threads as soon as
        nobody runs who imports from elsewhere, for a task does not wait for that."""
        with self._free:
            dropped = [] if self._users else self._enter(OWN, None, dict, ())
        del dropped

    def _await_turn(self, key: str) -> None:
        """Wait until nobody uses another world; whoever has waited for that comes before who came after."""
        if self._is_active(key) and not self._others_waiting:
            return
        self._others_waiting += 1
        try:
            self._free.wait_for(lambda: not self._users or self._is_active(key))
        finally:
            self._others_waiting -= 1

    def _is_active(self, key: str) -> bool:
        return self._key == key

    def _enter(
        self, key: str, code: str | None, fetch: Callable[[], dict[str, bytes]], packages: tuple[str, ...]
    ) -> list[object]:
        if self._is_active(key):
            return []
        # First: what is active now must not count as the worker's own.
        self._key, added = None, world_of(None, packages)
        dropped = self._leave(added)
        if packages and self._packages is not None and self._added.key != added:
            place = self._packages.path(packages)
            self._added.enter(added or "", place, modules_in(place) - self._own_modules())
        if code is not None:
            path = self._store.path(code, fetch)
            self._code.enter(key, path, names_in(path))
            self._codes[key] = code
        importlib.invalidate_caches()
        linecache.checkcache()
        self._key = key
        return dropped

    def _leave(self, added: str | None) -> list[object]:
        """Put the modules of the last world aside; gives what is kept no longer."""
        dropped: list[object] = []
        for key, modules in self._code.leave().items():
            self._store.let_go(self._codes.pop(key))
            dropped += [modules, self._forget(key)]
        if self._added.key != added:
            dropped.append(self._added.leave())
        return dropped

    def _own_modules(self) -> frozenset[str]:
        """What packages do not take the place of: they only add."""
        if not self._own:
            self._own = STANDARD | {module.name for module in pkgutil.iter_modules()}
        return self._own


def names_in(path: Path) -> frozenset[str]:
    """The top-level modules of an archive's folder."""
    found = {entry.name if entry.is_dir() else module_of(entry.name) for entry in path.iterdir()}
    return frozenset(found) - {"", "__pycache__"}


def modules_in(path: Path) -> frozenset[str]:
    """The top-level modules of a folder with packages: some are compiled, some have no `__init__.py`."""
    folders = {entry.name for entry in path.iterdir() if entry.is_dir() and entry.name.isidentifier()}
    return frozenset(folders | {module.name for module in pkgutil.iter_modules([str(path)])})


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
