"""The calls that ran in a delivery after its own one, as its slot stayed for them: what Flower is told of each.

Their child notes them in a file, which is there when it dies, too; their parent tells of them when the delivery ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from manycore.protocol.junk import UNREADABLE


class Call(NamedTuple):
    """One of them: when it began (epoch seconds, by this host's clock), what it took, and what came of it."""

    id: str
    shown: str
    began: float
    seconds: float
    summary: str


class Notes:
    """The child's end, of one delivery: `first` is the id of its own call. Does nothing until something follows."""

    def __init__(self, folder: Path, first: str) -> None:
        self._path = _path(folder, first)
        self._file = -1

    def add(self, call: Call) -> None:
        """What cannot be noted is not told of."""
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(self._file, f"{json.dumps(call)}\n".encode())
        except OSError:  # the disk is full, or an item has closed what it did not open
            self._file = -1

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def taken(folder: Path, first: str) -> Iterator[Call]:
    """The parent's end: what was noted, once."""
    path = _path(folder, first)
    try:
        lines = path.read_bytes().splitlines()
        path.unlink()
    except OSError:  # nothing followed
        return iter(())
    return _read(lines)


def _read(lines: list[bytes]) -> Iterator[Call]:
    for line in lines:
        try:
            yield Call(*json.loads(line))
        except UNREADABLE:  # half a line, of a full disk
            continue


def _path(folder: Path, first: str) -> Path:
    return folder / f"{quote(first, safe='')}.calls"
