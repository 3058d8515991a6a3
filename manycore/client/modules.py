"""Finds the modules of this process that workers cannot have: those that are not installed.

Where a module is a file of its own, its imports are read (as text, nothing is executed) and what they name is found
too; of a package, every module goes along, and of a namespace package, which may be spread over many projects, what is
named. So an import inside a function finds its module on the worker as well.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from manycore.client import statements, zipped
from manycore.client.found import Found, Stamp, process_now, read, stamp_of
from manycore.protocol.archive import STANDARD, SUFFIXES, can_hold, path_of
from manycore.protocol.moments import settled_moment_of

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
"""Of a package's folder, beside what is hidden and virtual environments."""


def find_modules(exclude: Iterable[str] = (), mentioned: Iterable[str] = ()) -> Found:
    """The files of all modules that are not installed, from what is imported now, and from what is `mentioned`."""
    process, search = process_now(), _Search(tuple(exclude))
    for name, module in list(sys.modules.items()):
        search.loaded(name, module)
    main = sys.modules.get("__main__")
    if main is not None:
        search.main(main)
    for name in mentioned:
        search.named(name)
    places = search.folders.union(entry or os.curdir for entry in sys.path if isinstance(entry, str))
    folders = {place: settled_moment_of(place) for place in places}
    return Found(search.files, frozenset(search.roots), folders, process)


def renewed(found: Found) -> Found | None:
    """The same look as of now; None if it must be made anew.

    To import what is installed changes nothing: a program does so long after its first call, and a whole look takes
    milliseconds.
    """
    return found.as_of(process_now(), _is_known_elsewhere)


def _is_known_elsewhere(name: str) -> bool:
    """Whether a module is ours, Python's own or installed: no look finds it, and nothing in it goes by value."""
    module = sys.modules.get(name)
    file = file_of(module)
    if file is None:  # a namespace, or built in: a look passes it over
        return isinstance(module, ModuleType) and vars(module).get("__spec__") is not None
    return is_everywhere(name, file)


class _Search:
    """One look: which files there are, by the paths under which they are imported."""

    def __init__(self, exclude: tuple[str, ...]) -> None:
        self.files: dict[str, tuple[str, Stamp]] = {}
        self.roots: set[str] = set()
        self.folders: set[str] = set()
        self._exclude = exclude
        self._seen: set[str] = set()
        self._tops: dict[str, list[str]] = {}

    def loaded(self, name: str, module: object) -> None:
        """A module that this process has imported."""
        top = name.partition(".")[0]
        file = file_of(module)
        if (
            file is None
            or not file.endswith(SUFFIXES)
            or top in STANDARD
            or top in ("__main__", "__mp_main__")
            or is_installed(file)
        ):
            return
        if not can_hold(path_of(name)):  # some take a path for a name
            return
        if file.endswith("__init__.py") and isinstance(module, ModuleType) and "__path__" in vars(module):
            self._package(name, file.removesuffix("__init__.py"))
        else:
            self._add(_place_of(name, file), file)
        self.roots.add(_root(name, file))

    def main(self, module: ModuleType) -> None:
        """The program itself travels by value; what it imports, now or later, does not."""
        spec = vars(module).get("__spec__")
        package = spec.parent if spec is not None and spec.parent else ""
        if package:  # python -m package.module: its relative imports need the package
            self.named(package)
        file = file_of(module)
        stamp = stamp_of(file) if file is not None else None
        if file is not None and stamp is not None and not is_installed(file):
            self._follow(file, stamp, package)
            self.roots.add(os.path.dirname(file))

    def _package(self, name: str, folder: str) -> None:
        """A package whole: its modules may be imported by names that stand nowhere in its source."""
        if folder in self._seen:
            return
        self._seen.add(folder)
        prefix = name.replace(".", "/")
        for file in self._tree(folder):
            inside = os.path.relpath(file, folder).replace(os.sep, "/")
            self._add(f"{prefix}/{inside}", file)

    def _tree(self, folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        """The modules below a folder. A link is followed if it leads to a package, and not back."""
        above = (*above, os.path.realpath(folder))
        self.folders.add(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except NotADirectoryError:
            yield from (file for file in zipped.files_below(folder) if file.endswith(".py"))
            return
        except OSError:
            return
        for entry in entries:
            if entry.name.endswith(SUFFIXES) and entry.is_file():
                yield entry.path
            elif entry.is_dir() and not _is_skipped(folder, entry.name) and _leads_on(entry, above):
                yield from self._tree(entry.path, above)

    def _add(self, path: str, file: str) -> None:
        if path in self.files or not can_hold(path) or any(fnmatch(path, pattern) for pattern in self._exclude):
            return
        stamp = stamp_of(file)
        if stamp is not None:
            self.files[path] = (file, stamp)
            self._follow(file, stamp, os.path.dirname(path).replace("/", "."))

    def _follow(self, file: str, stamp: Stamp, package: str) -> None:
        for name in imports_of(file, stamp, package) - self._seen:
            self.named(name)

    def named(self, name: str) -> None:
        """A module that some source names: it may not be imported yet, or only on the worker."""
        top, _, rest = name.partition(".")
        if name in self._seen or top in STANDARD:
            return
        self._seen.add(name)
        if top not in self._tops:
            self._tops[top] = self._found(top, None)
        if rest and self._tops[top]:
            self._inside(top, self._tops[top], rest)

    def _inside(self, package: str, folders: list[str], name: str) -> None:
        """What is named of a namespace package, further down."""
        part, _, rest = name.partition(".")
        within = self._found(f"{package}.{part}", folders)
        if rest and within:
            self._inside(f"{package}.{part}", within, rest)

    def _found(self, name: str, folders: list[str] | None) -> list[str]:
        """Take the module of this name, in `folders` or on the path; gives the folders of a namespace package."""
        spec = _spec(name.rpartition(".")[2], folders)  # by its last part: its parents may not be imported
        if spec is None:
            return []
        if spec.origin is None:
            within = list(spec.submodule_search_locations or ())
            self.folders.update(within)
            return within
        origin = os.path.abspath(spec.origin)
        if origin.endswith(SUFFIXES) and not is_installed(origin):
            if origin.endswith("__init__.py"):
                self._package(name, origin.removesuffix("__init__.py"))
            else:
                self._add(_place_of(name, origin), origin)
            self.roots.add(_root(name, origin))
        return []


def file_of(module: object) -> str | None:
    """The file of a module; None for what has none, and for objects that only stand in `sys.modules`."""
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return os.path.abspath(file) if isinstance(file, str) else None


def gone(name: str) -> str | None:
    """The file of a module of the caller's that was there when it was imported, and no longer is."""
    file = file_of(sys.modules.get(name))
    return file if file is not None and not is_installed(file) and stamp_of(file) is None else None


def _place_of(name: str, file: str) -> str:
    """Where an archive has the module of this name that is in this file: what is compiled keeps its suffix."""
    path = path_of(name)
    return path if file.endswith(".py") else path.removesuffix(".py") + "." + os.path.basename(file).partition(".")[2]


def _spec(name: str, folders: list[str] | None) -> ModuleSpec | None:
    """Where a module would be imported from: on the path, or by what an editable install puts in the path's place."""
    finders: list[Any] = [PathFinder, *(found for found in sys.meta_path if _is_editable(found))]
    for finder in finders:
        try:
            spec: ModuleSpec | None = finder.find_spec(name, folders)
        except (ImportError, ValueError, AttributeError):
            continue
        if spec is not None:
            return spec
    return None


def _is_editable(finder: object) -> bool:
    """Whether it is setuptools'. Others may do anything when they are asked: build, download."""
    return str(getattr(finder, "__module__", "")).startswith("__editable__")


@cache
def is_installed(file: str) -> bool:
    """Whether a module's file belongs to Python itself or to a package that pip has installed."""
    parts = file.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts or file.startswith(_installed_folders())


def is_everywhere(name: str, file: str) -> bool:
    """Whether each worker can import this module by its name: it is installed, or ours."""
    return is_installed(file) or name.partition(".")[0] == "manycore"


@cache
def _installed_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), os.path.dirname(os.__file__)]
    return tuple(sorted({os.path.realpath(folder) + os.sep for folder in folders} | {f + os.sep for f in folders}))


_imports: dict[tuple[str, str], tuple[Stamp, frozenset[str]]] = {}
"""Of each file, and the package that it is in, what it imported when it was read last."""


def imports_of(file: str, stamp: Stamp, package: str = "") -> frozenset[str]:
    """What a source file imports anywhere, as text says; relative names are those of its `package`."""
    known = _imports.get((file, package))
    if known is not None and known[0] == stamp:
        return known[1]
    names = statements.names_in(read(file) or b"", package) if file.endswith(".py") else ()
    found = frozenset(name for name in names if name.partition(".")[0] not in STANDARD)
    _imports[file, package] = stamp, found
    return found


def _is_skipped(place: str, name: str) -> bool:
    return name in SKIPPED_FOLDERS or name.startswith(".") or os.path.exists(os.path.join(place, name, "pyvenv.cfg"))


def _leads_on(entry: os.DirEntry[str], above: tuple[str, ...]) -> bool:
    if not entry.is_symlink():
        return True
    return os.path.exists(os.path.join(entry.path, "__init__.py")) and os.path.realpath(entry.path) not in above


def _root(name: str, file: str) -> str:
    """The folder from which a module of this name is imported."""
    depth = name.count(".") + (1 if file.endswith("__init__.py") else 0)
    return str(Path(file).parents[depth]) if depth < len(Path(file).parents) else os.path.dirname(file)
