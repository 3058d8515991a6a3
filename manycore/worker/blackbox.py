"""What a child was doing when it died: a small shared file that it writes and its parent reads.

Noting an item costs one store into mapped memory, no system call, so every item is noted. It tells which item took
its process along, whether by a signal, `os._exit` or a hard time limit. Where the parent died too, a worker beside it
reads the box, or the one that is started in its place (`folder`). It does not outlive the machine: for that there is
the progress that children keep in Redis.
"""

from __future__ import annotations

import mmap
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from tempfile import TemporaryFile
from typing import BinaryIO

from manycore.protocol import resume
from manycore.protocol.message import Chunk, batch_of

_SIZE = 4096
_FACTS = Struct("<qq")
_FACTS_AT = 8
_TEXT_AT = _FACTS_AT + _FACTS.size
NOBODY, FUNCTION, SETUP = -1, -2, -3
"""Notes that are no position: nothing of the chunk runs; its function is being rebuilt; its initializer runs."""
MAX_TRACE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Reading:
    """What a black box said: the chunk, the item that ran, in which run of the chunk, and the trace of a hard time
    limit, if any."""

    chunk: str
    index: int
    run: str
    trace: str = ""
    function: str = ""
    """The digest of the function that was being rebuilt, or whose initializer ran: `index` says which, no item did."""

    @classmethod
    def of(cls, chunk: str, subject: str, run: str) -> Reading:
        """What a box would have said of an execution that Redis knows: the reverse of `field`."""
        if subject.isdigit():
            return cls(chunk, int(subject), run)
        step, _, digest = subject.partition(" ")
        return cls(chunk, SETUP if step == resume.INITIALIZER else FUNCTION, run, function=digest)

    @property
    def batch(self) -> str:
        return batch_of(self.chunk)

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
    return f"{resume.INITIALIZER if step == SETUP else resume.FUNCTION} {digest}"


class BlackBox:
    """A child's own box. `note[0] = position` records that this item is about to run, from its rebuilding to the
    pickling of its result; `FUNCTION` that the chunk's function is being rebuilt, `SETUP` that its initializer runs.

    A thread of a worker of threads has one too: when its process dies, the whole worker does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        owner = _owner()
        with open(os.open(_box(folder, owner), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            self._map = _allocate(file.fileno())
        self.note = memoryview(self._map)[:8].cast("q")
        self.end()  # a new file says that the item at position 0 runs, of no chunk
        self.trace: BinaryIO = _trace(folder, owner).open("wb")

    def begin(self, chunk: Chunk, run: str) -> None:
        """Say which run of which chunk the notes are about; nobody runs until its first item does."""
        self.note[0] = NOBODY
        text = "\n".join((run, chunk.function or "", chunk.id)).encode()
        _FACTS.pack_into(self._map, _FACTS_AT, chunk.first, len(text))
        self._map[_TEXT_AT : _TEXT_AT + len(text)] = text

    def end(self) -> None:
        """Say that no item is running."""
        self.note[0] = NOBODY

    def close(self) -> None:
        """Say that no chunk is: the notes are about nothing."""
        self.end()
        _FACTS.pack_into(self._map, _FACTS_AT, 0, 0)


def read(folder: Path, owner: int | str) -> Reading | None:
    """What the box of a child says; None if there is none, or nothing of a chunk was running."""
    found = read_any(folder, owner)
    return found if found is not None and found.index != NOBODY else None


def read_any(folder: Path, owner: int | str) -> Reading | None:
    """What the box of a child says, also that nothing was running; None if there is none, or it tells of no chunk."""
    try:
        data = _box(folder, owner).read_bytes()
        text = _trace(folder, owner).read_bytes()[:MAX_TRACE_BYTES].decode(errors="replace")
    except OSError:
        return None
    position = int.from_bytes(data[:_FACTS_AT], "little", signed=True)
    if len(data) < _SIZE:
        return None
    first, length = _FACTS.unpack_from(data, _FACTS_AT)
    run, _, rest = data[_TEXT_AT : _TEXT_AT + length].decode(errors="replace").partition("\n")
    function, _, chunk = rest.partition("\n")
    if not run:
        return None
    if position in (FUNCTION, SETUP):
        return Reading(chunk, position, run, text, function)
    return Reading(chunk, position if position == NOBODY else first + position, run, text)


def remove(folder: Path, owner: int | str) -> None:
    """Remove the box of a child that is gone."""
    _box(folder, owner).unlink(missing_ok=True)
    _trace(folder, owner).unlink(missing_ok=True)


def owners(folder: Path) -> list[int]:
    """The children that have a box, dead or alive."""
    return [int(name) for name in threads(folder) if name.isdigit()]


def threads(folder: Path) -> list[str]:
    """Likewise, with the threads of workers of threads."""
    try:
        return [name.removesuffix(".box") for name in os.listdir(folder) if name.endswith(".box")]
    except FileNotFoundError:
        return []


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
