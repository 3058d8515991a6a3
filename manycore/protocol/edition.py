"""Which source of a module a process has: what a worker says of the modules of its tasks, and a client compares."""

from __future__ import annotations

import sys
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple


class Edition(NamedTuple):
    """The digest of a module's source, and the file that it is in."""

    digest: str
    file: str


def edition_of(module: str) -> Edition | None:
    """That of a module of this process; None for one that is not imported, or has no source file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    try:
        stat = Path(file).stat()
        return _read(file, (stat.st_mtime_ns, stat.st_size))
    except OSError:
        return None


@lru_cache(maxsize=256)
def _read(file: str, _stamp: tuple[int, int]) -> Edition:
    return Edition(blake2b(Path(file).read_bytes(), digest_size=8).hexdigest(), file)
