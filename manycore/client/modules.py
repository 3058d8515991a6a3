"""Finds the modules of this process that workers cannot have: those that are not installed.

Where a module is a file of its own, its imports are read (as text, nothing is executed) and what they name is found
too; of a package, every module goes along. So an import inside a function finds its module on the worker as well.
"""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from manycore.protocol.archive import STANDARD

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
"""Of a package's folder, beside what is hidden and virtual environments."""
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import|import[ \t]+([^\n#;]+))", re.M)

Stamp = tuple[int, int]
"""A file's modification time (ns) and size: what tells that it changed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Files to send: the path in the archive -> the file here, with its stamp; and the folders that they come from."""

    files: dict[str, tuple[str, Stamp]] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()

    def with_data(self, data: dict[str, tuple[str, Stamp]]) -> Found:
        return replace(self, files=self.files | data) if data else self

    def edited(self) -> bool:
        """Whether one of the files has changed or gone since."""
        return any(stamp_of(file) != stamp for file, stamp in self.files.values())

    def read(self) -> dict[str, bytes]:
        """The files' contents; one that went away meanwhile is left out."""
        return {path: content for path, (file, _) in self.files.items() if (content := _read(file)) is not None}


def find_modules(exclude: Iterable[str] = ()) -> Found:
    """The source files of all modules that are not installed, from what is imported now."""
    search = _Search(tuple(exclude))
    for name, module in list(sys.modules.items()):
        search.loaded(name, module)
    main = sys.modules.get("__main__")
    if main is not None:
        search.main(main)
    return Found(search.files, frozenset(search.roots))


class _Search:
    """One look: which files there are, by the paths under which they are imported."""

    def __init__(self, exclude: tuple[str, ...]) -> None:
        self.files: dict[str, tuple[str, Stamp]] = {}
        self.roots: set[str] = set()
        self._exclude = exclude
        self._seen: set[str] = set()

    def loaded(self, name: str, module: object) -> None:
        """A module that this process has imported."""
        top = name.partition(".")[0]
        file = _source_of(module)
        if file is None or top in STANDARD or top in ("__main__", "__mp_main__") or is_installed(file):
            return
        if file.endswith("__init__.py") and isinstance(module, ModuleType) and "__path__" in vars(module):
            self._package(name, file.removesuffix("__init__.py"))
        else:
            self._add(name.replace(".", "/") + ".py", file)
        self.roots.add(_root(name, file))

    def main(self, module: ModuleType) -> None:
        """The program itself travels by value; what it imports, now or later, does not."""
        spec = vars(module).get("__spec__")
        if spec is not None and spec.parent:  # python -m package.module: its relative imports need the package
            self._named(spec.parent.partition(".")[0])
        file = _source_of(module)
        if file is not None and not is_installed(file):
            self._follow(file)
            self.roots.add(os.path.dirname(file))

    def _package(self, name: str, folder: str) -> None:
        """A package whole: its modules may be imported by names that stand nowhere in its source."""
        if folder in self._seen:
            return
        self._seen.add(folder)
        prefix = name.replace(".", "/")
        for file in _tree(folder):
            inside = os.path.relpath(file, folder).replace(os.sep, "/")
            self._add(f"{prefix}/{inside}", file)

    def _add(self, path: str, file: str) -> None:
        if path in self.files or any(fnmatch(path, pattern) for pattern in self._exclude):
            return
        stamp = stamp_of(file)
        if stamp is not None:
            self.files[path] = (file, stamp)
            self._follow(file)

    def _follow(self, file: str) -> None:
        stamp = stamp_of(file)
        for name in imports_of(file, stamp) if stamp is not None else ():
            self._named(name)

    def _named(self, name: str) -> None:
        """A module that some source names: it may not be imported yet, or only on the worker."""
        if name in self._seen or name in STANDARD:
            return
        self._seen.add(name)
        origin = _origin(name)
        if origin is None or is_installed(origin):
            return
        if origin.endswith("__init__.py"):
            self._package(name, origin.removesuffix("__init__.py"))
        else:
            self._add(f"{name}.py", origin)
        self.roots.add(_root(name, origin))


def _source_of(module: object) -> str | None:
    """The source file of a module; None for what has none, and for objects that only stand in `sys.modules`."""
    if not isinstance(module, ModuleType):
        return None
    file = vars(module).get("__file__")
    return os.path.abspath(file) if isinstance(file, str) and file.endswith(".py") else None


def _origin(name: str) -> str | None:
    try:
        spec = PathFinder.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    origin = spec.origin if spec is not None else None
    return os.path.abspath(origin) if origin and origin.endswith(".py") else None


@cache
def is_installed(file: str) -> bool:
    """Whether a module's file belongs to Python itself or to a package that pip has installed."""
    parts = file.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts or file.startswith(_installed_folders())


@cache
def _installed_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), os.path.dirname(os.__file__)]
    return tuple(sorted({os.path.realpath(folder) + os.sep for folder in folders} | {f + os.sep for f in folders}))


@cache
def imports_of(file: str, _stamp: Stamp) -> frozenset[str]:
    """The top-level names that a source file imports anywhere, as text says; a name too many does no harm."""
    content = _read(file) or b""
    found: set[str] = set()
    for source, listed in _IMPORTS.findall(content):
        names = [source] if source else [word.split()[0].split(b".")[0] for word in listed.split(b",") if word.split()]
        found.update(name.decode(errors="replace") for name in names)
    return frozenset(name for name in found if name.isidentifier() and name not in STANDARD)


def _tree(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_skipped(place, name))
        yield from (os.path.join(place, name) for name in sorted(names) if name.endswith(".py"))


def _is_skipped(place: str, name: str) -> bool:
    return name in SKIPPED_FOLDERS or name.startswith(".") or os.path.exists(os.path.join(place, name, "pyvenv.cfg"))


def _root(name: str, file: str) -> str:
    """The folder from which a module of this name is imported."""
    depth = name.count(".") + (1 if file.endswith("__init__.py") else 0)
    return str(Path(file).parents[depth]) if depth < len(Path(file).parents) else os.path.dirname(file)


def stamp_of(file: str) -> Stamp | None:
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _read(file: str) -> bytes | None:
    try:
        return Path(file).read_bytes()
    except OSError:
        return None
