"""The calls that ran in a delivery after its own one, as its slot stayed for them: what Flower is told of each.

Their child notes them in a file, which is there when it dies, too; their parent reads it (`parent/followers`).
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from manycore.protocol.junk import UNREADABLE


class Call(NamedTuple):
    """One that has ended: when it began (epoch seconds, by this host's clock), what it took, what came of it."""

    id: str
    shown: str
    began: float
    seconds: float
    summary: str


class Notes:
    """The child's end, of one delivery: `own` is the id of its own call, which is noted before what follows it."""

    def __init__(self, folder: Path, own: str) -> None:
        self._path = _path(folder, own)

    def add(self, call: Call) -> None:
        """What cannot be noted is not told of. Nothing is kept open meanwhile: an item that closes what it did not open
        would have us write into its own files."""
        with suppress(OSError):  # the disk is full
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, f"{json.dumps(call)}\n".encode())
            finally:
                os.close(file)


class Reader:
    """The parent's end: `own` is the id of the delivery's own call."""

    def __init__(self, folder: Path, own: str) -> None:
        self._path = _path(folder, own)
        self._offset = 0
        self._turn = threading.Lock()  # a worker of threads ends its deliveries on those

    @property
    def has_any(self) -> bool:
        """Whether anything was noted, so far."""
        return self._offset > 0 or self._path.exists()

    def take(self) -> list[bytes]:
        """The lines that were noted since the last time, to be `read`."""
        with self._turn, suppress(OSError), self._path.open("rb") as file:  # or nothing followed
            file.seek(self._offset)
            found = file.read()
            whole = found[: found.rfind(b"\n") + 1]
            self._offset += len(whole)
            return whole.splitlines()
        return []

    def end(self) -> None:
        """There will be no more."""
        self._path.unlink(missing_ok=True)


def read(line: bytes) -> Call | None:
    """None for half a line, of a full disk."""
    try:
        return Call(*json.loads(line))
    except UNREADABLE:
        return None


def _path(folder: Path, own: str) -> Path:
    return folder / f"{quote(own, safe='')}.calls"
