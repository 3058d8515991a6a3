"""The calls that ran in a delivery after its own one, as its slot stayed for them: what Flower is told of each.

Their child notes them in a file, which is there when it dies, too; their parent reads it (`parent/followers`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
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
    """The child's end, of one delivery: `own` is its own call, noted as the first as soon as another one follows."""

    def __init__(self, folder: Path, own: Call) -> None:
        self._path = _path(folder, own.id)
        self._own: Call | None = own

    def add(self, call: Call) -> None:
        """What cannot be noted is not told of. Nothing is kept open meanwhile: an item that closes what it did not open
        would have us write into its own files."""
        calls, self._own = [self._own, call] if self._own else [call], None
        with suppress(OSError):  # the disk is full
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, "".join(f"{json.dumps(each)}\n" for each in calls).encode())
            finally:
                os.close(file)


class Reader:
    """The parent's end: `own` is the id of the delivery's own call."""

    def __init__(self, folder: Path, own: str) -> None:
        self._path = _path(folder, own)
        self._offset = 0

    @property
    def has_any(self) -> bool:
        """Whether anything was noted, so far."""
        return self._offset > 0 or self._path.exists()

    def take(self) -> Iterator[Call]:
        """What was noted since the last time; read when it is wanted."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                lines = file.read()
        except OSError:  # nothing followed
            return iter(())
        whole = lines[: lines.rfind(b"\n") + 1]
        self._offset += len(whole)
        return _read(whole.splitlines())

    def end(self) -> None:
        """There will be no more."""
        self._path.unlink(missing_ok=True)


def _read(lines: list[bytes]) -> Iterator[Call]:
    for line in lines:
        try:
            yield Call(*json.loads(line))
        except UNREADABLE:  # half a line, of a full disk
            continue


def _path(folder: Path, own: str) -> Path:
    return folder / f"{quote(own, safe='')}.calls"
