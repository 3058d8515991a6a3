"""What a child was doing when it died: a small shared file that it writes and its parent reads.

Noting an item costs one store into mapped memory, no system call, so every item is noted. It tells which item took
its process along, whether by a signal, `os._exit` or a hard time limit. It does not outlive the host: for that there
is the progress that children keep in Redis.
"""

from __future__ import annotations

import mmap
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from tempfile import TemporaryFile
from typing import BinaryIO

from manycore.protocol.message import Chunk

_SIZE = 4096
_ID_AT = 16
_FACTS = Struct("<qqq?")
_FACTS_AT = _SIZE - 32
_FUNCTION_AT = _SIZE // 2
NOBODY, FUNCTION, SETUP = -1, -2, -3
"""Notes that are no position: nothing of the chunk runs; its function is being rebuilt; its initializer runs."""
MAX_TRACE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Reading:
    """What a black box said: the chunk and its items, the one that ran, and the trace of a hard time limit, if any.

    `suspect` says that the chunk had come again: it had run before, and nobody may know why that came to an end.
    """

    chunk: str
    index: int
    items: range
    suspect: bool = False
    trace: str = ""
    death: str = field(default="", compare=False)
    """Which process died: the same death is counted once, however often it is noted. Empty if nobody can tell."""
    function: str = ""
    """The digest of the function that was being rebuilt, or whose initializer ran: `index` says which, no item did."""

    @property
    def batch(self) -> str:
        return self.chunk.rpartition(".")[0]

    @property
    def field(self) -> str:
        """Under which field of the batch's strikes its death is counted."""
        return step_field(self.index, self.function) if self.function else str(self.index)

    @property
    def guilty(self) -> str:
        """What was running, for the log."""
        if self.index == SETUP:
            return f"The initializer of function {self.function}"
        return f"The rebuilding of function {self.function}" if self.function else f"Item {self.index}"


def step_field(step: int, digest: str) -> str:
    """Where the deaths of a step before the items are counted, `FUNCTION` or `SETUP`, of the function `digest`."""
    return f"{'initializer' if step == SETUP else 'function'} {digest}"


class BlackBox:
    """A child's own box. `note[0] = position` records that this item is about to run, from its rebuilding to the
    pickling of its result; `FUNCTION` that the chunk's function is being rebuilt, `SETUP` that its initializer runs.

    A thread of a worker of threads has one too, which nobody reads: when its process dies, the whole worker does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        owner = _owner()
        with open(os.open(_box(folder, owner), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            self._map = _allocate(file.fileno())
        self.note = memoryview(self._map)[:8].cast("q")
        self.trace: BinaryIO = _trace(folder, owner).open("wb")

    def begin(self, chunk: Chunk, *, suspect: bool = False) -> None:
        """Say which chunk the notes are about; -1 until its first item runs."""
        self.note[0] = NOBODY
        _FACTS.pack_into(self._map, _FACTS_AT, chunk.first, chunk.start, chunk.stop, suspect)
        encoded, function = chunk.id.encode(), (chunk.function or "").encode()
        self._map[8:_ID_AT] = len(encoded).to_bytes(8, "little")
        self._map[_ID_AT : _ID_AT + len(encoded)] = encoded
        self._map[_FUNCTION_AT : _FUNCTION_AT + 1 + len(function)] = bytes((len(function),)) + function

    def end(self) -> None:
        """Say that no item is running."""
        self.note[0] = NOBODY


def read(folder: Path, pid: int) -> Reading | None:
    """What the box of a child says; None if there is none, or nothing of a chunk was running."""
    try:
        data = _box(folder, pid).read_bytes()
        text = _trace(folder, pid).read_bytes()[:MAX_TRACE_BYTES].decode(errors="replace")
    except OSError:
        return None
    position = int.from_bytes(data[:8], "little", signed=True)
    if position == NOBODY or len(data) < _SIZE:
        return None
    length = int.from_bytes(data[8:_ID_AT], "little")
    first, start, stop, suspect = _FACTS.unpack_from(data, _FACTS_AT)
    name = data[_ID_AT : _ID_AT + length].decode(errors="replace")
    items, death = range(first + start, first + stop), f"{folder.name}/{pid}"  # a worker's folder has a random name
    if position in (FUNCTION, SETUP):
        end = _FUNCTION_AT + 1 + data[_FUNCTION_AT]
        return Reading(name, position, items, suspect, text, death, data[_FUNCTION_AT + 1 : end].decode())
    return Reading(name, first + position, items, suspect, text, death)


def remove(folder: Path, pid: int) -> None:
    """Remove the box of a child that is gone."""
    _box(folder, pid).unlink(missing_ok=True)
    _trace(folder, pid).unlink(missing_ok=True)


def owners(folder: Path) -> list[int]:
    """The children that have a box, dead or alive."""
    return [int(path.stem) for path in folder.glob("*.box") if path.stem.isdigit()]


def check_room(folder: Path) -> None:
    """Raises `OSError` if this folder cannot hold a box."""
    with TemporaryFile(dir=folder) as file:
        _allocate(file.fileno())


def _allocate(descriptor: int) -> mmap.mmap:
    """The map of a file whose bytes are really there: a store into one that the disk had no room for is SIGBUS."""
    os.posix_fallocate(descriptor, 0, _SIZE)
    return mmap.mmap(descriptor, _SIZE)


def _owner() -> int | str:
    """Whose box it is: a child's items run on its main thread."""
    if threading.current_thread() is threading.main_thread():
        return os.getpid()
    return f"{os.getpid()}-{threading.get_native_id()}"


def _box(folder: Path, owner: int | str) -> Path:
    return folder / f"{owner}.box"


def _trace(folder: Path, owner: int | str) -> Path:
    return folder / f"{owner}.trace"
