"""Counts the words of text files: the map and the reduce of the classic word count.

A token is an identifier or a word: letters, digits and underscores, not starting with a digit, case kept. It does not
parse, so words in comments and strings count too.

Source: J. Dean and S. Ghemawat, "MapReduce", OSDI 2004, section 2.1.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from manycore import task

TOKEN = re.compile(r"\b[^\W\d]\w*")
SKIPPED_FOLDERS = frozenset({"site-packages", "dist-packages", "__pycache__"})  # Debian installs into dist-packages


@task
def count_tokens(path: str | PathLike[str]) -> Counter[str]:
    """How often each token occurs in the file, read as UTF-8; bytes that are not become U+FFFD, which is no token.

    The path is the worker's: it must name the same file there. Raises `ValueError` if it is not a file.
    """
    if not os.path.isfile(path):
        raise ValueError(f"{path!r} is no file on this machine. Does every worker mount that folder at the same place?")
    return Counter(TOKEN.findall(Path(path).read_text(encoding="utf-8", errors="replace")))


def merge(counters: Iterable[Mapping[str, int]]) -> Counter[str]:
    """The sum of all counts."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)  # in place: `total + counter` would copy the growing total each time
    return total


def python_sources(root: str | PathLike[str] | None = None) -> list[str]:
    """The .py files below `root`, sorted; by default the running Python's own standard library.

    Installed packages are left out, and symbolic links to folders are not followed. Raises `ValueError` if `root` is
    not a folder.
    """
    top = os.fspath(root) if root is not None else sysconfig.get_path("stdlib")
    if not os.path.isdir(top):
        raise ValueError(f"{top!r} is no folder on this machine. Pass one that holds .py files.")
    found: list[str] = []
    for folder, subfolders, files in os.walk(top):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS]  # os.walk descends into these
        found += (os.path.join(folder, file) for file in files if file.endswith(".py"))
    return sorted(found)
