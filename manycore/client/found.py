"""What a look for the caller's modules has found, and on what that depended: whether a new look is worth while.

A file is known by its stamp, a folder by the moment of its last new or lost entry. A change in the same tick of the
kernel's clock as the look could pass unseen, so what had just changed then is looked at again.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from manycore.client import zipped
from manycore.protocol.moments import moment_of

Stamp = tuple[int, int]
"""A file's modification time (ns) and size: what tells that it changed."""


@dataclass(frozen=True, slots=True)
class Process:
    """What is imported, and from where more would be. By their ids: modules that are gone are not kept."""

    modules: dict[str, int]
    path: tuple[str, ...]
    finders: int


@dataclass(frozen=True, slots=True)
class Found:
    """Files to send: the path in the archive -> the file here, with its stamp; and the folders that they come from."""

    files: dict[str, tuple[str, Stamp]] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()
    folders: dict[str, int] = field(default_factory=dict)
    process: Process | None = None

    def with_data(self, data: dict[str, tuple[str, Stamp]]) -> Found:
        return replace(self, files=self.files | data) if data else self

    def as_of(self, now: Process, stays: Callable[[str], bool]) -> Found | None:
        """The same, if another look would find the same files; `stays` says of a module that is new that it is none of
        them."""
        then = self.process
        if then is None or any(moment_of(folder) != moment for folder, moment in self.folders.items()):
            return None
        if now == then:
            return self
        before, after = then.modules, now.modules
        is_only_more = before.items() <= after.items() and (now.path, now.finders) == (then.path, then.finders)
        if not is_only_more or not all(map(stays, after.keys() - before.keys())):
            return None
        return replace(self, process=now)

    def read(self) -> dict[str, bytes]:
        """The files' contents; one that went away meanwhile is left out."""
        return {path: content for path, (file, _) in self.files.items() if (content := read(file)) is not None}


def process_now() -> Process:
    modules = sys.modules.copy()
    ids = dict(zip(modules, map(id, modules.values()), strict=True))
    return Process(ids, tuple(map(str, sys.path)), len(sys.meta_path))


def stamp_of(file: str) -> Stamp | None:
    """None for what is no file, or none any more."""
    try:
        found = os.stat(file)
    except NotADirectoryError:
        place = zipped.zip_of(file)
        return stamp_of(place) if place is not None else None
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None


def read(file: str) -> bytes | None:
    """The content of a file; None for one that cannot be read."""
    try:
        return Path(file).read_bytes()
    except NotADirectoryError:
        return zipped.read(file)
    except (OSError, ValueError):
        return None
