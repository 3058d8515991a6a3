"""What a child was doing when it died: a small shared file that it writes and its parent reads.

Noting an item costs one store into mapped memory, no system call, so every item is noted. It tells which item took
its process along, whether by a signal, `os._exit` or a hard time limit. It does not outlive the host: for that there
is the progress that children keep in Redis.
"""

from __future__ import annotations

import mmap
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SIZE = 4096
_ID_AT = 16
MAX_TRACE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Reading:
    """What a black box said: the chunk, the position in its payload, and the trace of a hard time limit, if any."""

    chunk: str
    position: int
    trace: str


class BlackBox:
    """A child's own box. `note[0] = position` records that this item is about to run.

    A thread of a worker of threads has one too, which nobody reads: when its process dies, the whole worker does.
    """

    def __init__(self, folder: Path) -> None:
        owner = _owner()
        descriptor = os.open(_box(folder, owner), os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, _SIZE)
        self._map = mmap.mmap(descriptor, _SIZE)
        os.close(descriptor)
        self.note = memoryview(self._map)[:8].cast("q")
        self.trace: BinaryIO = _trace(folder, owner).open("wb")

    def begin(self, chunk_id: str) -> None:
        """Say which chunk the notes are about; -1 until its first item runs."""
        self.note[0] = -1
        encoded = chunk_id.encode()
        self._map[8:_ID_AT] = len(encoded).to_bytes(8, "little")
        self._map[_ID_AT : _ID_AT + len(encoded)] = encoded

    def end(self) -> None:
        """Say that no item is running."""
        self.note[0] = -1


def runs(folder: Path, pid: int) -> str | None:
    """The chunk of which a living child runs an item now."""
    try:
        data = _box(folder, pid).read_bytes()
    except OSError:
        return None
    return _parse(data)[0] if _parse(data)[1] >= 0 else None


def read(folder: Path, pid: int) -> Reading | None:
    """Read and remove the box of a dead child; None if it was not running an item."""
    box, trace = _box(folder, pid), _trace(folder, pid)
    try:
        data = box.read_bytes()
        text = trace.read_bytes()[:MAX_TRACE_BYTES].decode(errors="replace")
    except OSError:
        return None
    finally:
        box.unlink(missing_ok=True)
        trace.unlink(missing_ok=True)
    chunk, position = _parse(data)
    return Reading(chunk, position, text) if position >= 0 else None


def _parse(data: bytes) -> tuple[str, int]:
    """The chunk that a box is about, and the position of the item that runs: -1 for none."""
    length = int.from_bytes(data[8:_ID_AT], "little")
    return data[_ID_AT : _ID_AT + length].decode(), int.from_bytes(data[:8], "little", signed=True)


def _owner() -> int | str:
    """Whose box it is: a child's items run on its main thread."""
    if threading.current_thread() is threading.main_thread():
        return os.getpid()
    return f"{os.getpid()}-{threading.get_native_id()}"


def _box(folder: Path, owner: int | str) -> Path:
    return folder / f"{owner}.box"


def _trace(folder: Path, owner: int | str) -> Path:
    return folder / f"{owner}.trace"
