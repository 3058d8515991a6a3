"""What the items of a running chunk print and log, until the courier carries it away. An item that does neither costs
nothing: who writes is known by the note that is made of each item anyway.

Bounds: of an item half of its bytes from the start and half from the end, and a trickle more while it runs, so that a
long one can be followed; what stands between is left out, and a line says how much. What waits for the courier is
bounded too. Any thread may write meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from manycore.protocol import logs
from manycore.protocol.logs import DROPPED, Piece
from manycore.protocol.message import Chunk

TRICKLE_BYTES = 1024
"""A second, of an item that has used up its first half."""
MAX_UNTOLD_BYTES = 256 * 1024
"""What waits for the courier, of one run. It carries it away about twenty times a second."""
LINE_SECONDS = 0.2
"""How long the end of a line is waited for."""
OVERHEAD_BYTES = 48
"""What an entry of its own costs beside its text."""


class _Text:
    """What an item (its position) wrote to one stream, in the parts in which it did."""

    __slots__ = ("encoding", "level", "logger", "parts", "position", "stream", "time")

    def __init__(self, position: int, stream: str, encoding: str, level: str = "", logger: str = "") -> None:
        self.position = position
        self.time = time.time()
        self.stream = stream
        self.encoding = encoding
        self.level = level
        self.logger = logger
        self.parts: list[bytes] = []

    def closed(self) -> bytes:
        """All of it; nothing is added any more."""
        self.parts = [b"".join(self.parts)]
        return self.parts[0]


class Capture:
    """Of one run of a chunk. `note[0]` is the position of the item that runs."""

    def __init__(self, chunk: Chunk, note: memoryview[int], run: str, item_bytes: int) -> None:
        self._chunk = chunk
        self._note = note
        self._run = run
        self._half = item_bytes // 2
        self.stir: Callable[[], object] = _nobody
        """Called when an item has written, from wherever it did: it must not wait, nor raise."""
        self._lock = threading.RLock()  # a signal's handler may write while its thread does
        self._last: _Text | None = None
        """What the item writes to right now, and further parts may be added to while there is `_budget`."""
        self._budget = 0
        self._position: int | None = None
        self._texts: deque[_Text] = deque()
        self._bytes = self._lost = 0
        self._tail: deque[_Text] | None = None
        """Once the item has used up its first half: what it writes since then, the oldest left out."""
        self._missing = 0
        self._room = 0.0
        self._refilled = 0.0
        self._untold: list[bytes] = []
        self._number = 0

    @property
    def waits(self) -> bool:
        """Whether there is something to carry away."""
        return bool(self._texts or self._tail or self._untold)

    def subject(self) -> dict[str, Any]:
        """Of what the running item writes: `batch`, `index` if it is an item, `attempt`."""
        position = self._note[0]
        item = {"index": self._chunk.index(position)} if position >= 0 else {}
        return {"batch": self._chunk.batch, **item, "attempt": self._chunk.attempt}

    def hear(self, stream: str, data: bytes, encoding: str = "utf-8", level: str = "", logger: str = "") -> None:
        """Keep what the running item wrote, within its bounds."""
        position, size = self._note[0], len(data)
        with self._lock:
            last = self._last
            if (
                last is not None
                and size <= self._budget
                and last.position == position
                and last.stream == stream
                and not level
            ):
                last.parts.append(data)
                self._budget -= size
            elif data:
                self._begin(_Text(position, stream, encoding, level, logger), data)
        self.stir()

    def untold(self, worker: str, ahead_seconds: float, done: int) -> list[bytes]:
        """What is to be carried away, as entries of a log; once it is, `told` takes it off.

        Items before the position `done` are over. `ahead_seconds` is by how much it is later at the server.
        """
        with self._lock:
            line = self._unfinished(done)
            self._close()
            self._let_go(done)
            texts, self._texts, self._bytes, lost, self._lost = self._texts, deque(), 0, self._lost, 0
            if line is not None:
                self._texts.append(line)
                self._last = line
        pieces = [Piece(None, time.time(), DROPPED, left_out(lost))] if lost else []
        pieces += map(self._piece, texts)
        for some in _bounded(pieces, ahead_seconds):
            self._number += 1
            self._untold.append(logs.entry(self._run, self._number, worker, self._chunk.attempt, some))
        while sum(map(len, self._untold)) > 2 * MAX_UNTOLD_BYTES and len(self._untold) > 1:  # a server that is away
            del self._untold[0]
        return list(self._untold)

    def told(self, entries: list[bytes]) -> None:
        """These are in the log."""
        del self._untold[: len(entries)]

    def _begin(self, text: _Text, data: bytes) -> None:
        """Another item writes, or to another stream, or has used up what it may."""
        self._close()
        if text.position != self._position:
            self._end_item()
            self._position = text.position
        if self._tail is None:
            head = data[: max(0, self._budget)]
            if head:
                self._add(self._texts, text, head)
            data = data[len(head) :]
            if not data:
                return
            self._tail, self._budget = deque(), 2 * self._half
            self._room, self._refilled = 0.0, time.monotonic()
            text = _Text(text.position, text.stream, text.encoding, text.level, text.logger)
        if len(data) > self._budget:
            self._cut(self._tail, max(0, self._half - len(data)))
            self._missing += max(0, len(data) - self._half)
            data = data[-self._half :]
        self._add(self._tail, text, data)

    def _add(self, texts: deque[_Text], text: _Text, data: bytes) -> None:
        text.parts.append(data)
        texts.append(text)
        self._budget -= len(data) + OVERHEAD_BYTES
        self._last = None if text.level else text
        if text.level and texts is self._texts:
            self._count(text)

    def _unfinished(self, done: int) -> _Text | None:
        """Cut off the line that is being written just now, which `print` does in parts: it is not to be torn."""
        last = self._last
        if last is None or self._tail is not None or last.position < done or last.position != self._note[0]:
            return None
        text = last.closed()
        whole = text.rfind(b"\n") + 1
        if whole == len(text) or time.time() - last.time > LINE_SECONDS:
            return None
        line = _Text(last.position, last.stream, last.encoding)
        line.parts, last.parts = [text[whole:]], [text[:whole]]
        if not whole:
            line.time = last.time
            self._texts.pop()
            self._last = None
        return line

    def _close(self) -> None:
        """Begin anew with what comes next."""
        last, self._last = self._last, None
        if last is not None and self._tail is None:
            self._count(last)

    def _count(self, text: _Text) -> None:
        """It waits for the courier now; the oldest leave for it."""
        self._bytes += _size(text)
        while self._bytes > MAX_UNTOLD_BYTES and len(self._texts) > 1:
            gone = self._texts.popleft()
            self._bytes -= _size(gone)
            self._lost += len(gone.closed())

    def _cut(self, tail: deque[_Text], most: int) -> None:
        """Leave out the oldest of a tail, but for so many bytes."""
        held = sum(map(_size, tail))
        while tail and held > most:
            gone = min(held - most, _size(tail[0]))
            if gone + OVERHEAD_BYTES >= _size(tail[0]):  # nothing of its text would be left
                first = tail.popleft()
                held -= _size(first)
                self._missing += len(first.closed())
            else:
                tail[0].parts = [tail[0].closed()[gone:]]
                held -= gone
                self._missing += gone
        self._budget = 2 * self._half - held

    def _let_go(self, done: int) -> None:
        """Let a tail wait for the courier if its item is over, or as the trickle allows."""
        if self._tail is None:
            return
        now = time.monotonic()
        self._room = min(self._half, self._room + (now - self._refilled) * TRICKLE_BYTES)
        self._refilled = now
        position = self._position
        if position is None or position < done or position != self._note[0]:
            self._end_item()
            return
        self._cut(self._tail, self._half)
        size = sum(map(_size, self._tail))
        if size <= self._room:
            room = int(self._room - size)
            self._end_item()
            self._budget = room

    def _end_item(self) -> None:
        """Let the end of what the item wrote wait for the courier too; the next one begins with its first half."""
        tail, self._tail, self._budget = self._tail, None, self._half
        if not tail:
            return
        self._budget = 0
        self._cut(tail, self._half)
        if self._missing:
            lost = _Text(tail[0].position, DROPPED, "utf-8")
            lost.parts.append(left_out(self._missing).encode())
            tail.appendleft(lost)
        for text in tail:
            self._texts.append(text)
            self._count(text)
        self._missing, self._budget = 0, self._half

    def _piece(self, text: _Text) -> Piece:
        at = self._chunk.index(text.position) if text.position >= 0 else None
        return Piece(
            at, text.time, text.stream, text.closed().decode(text.encoding, "replace"), text.level, text.logger
        )


def _nobody() -> None:
    """There is none who would carry it away."""


def _size(text: _Text) -> int:
    """What it takes, about."""
    return len(text.closed()) + OVERHEAD_BYTES


def left_out(count: int) -> str:
    """The line that stands where bytes are missing."""
    return f"[{count:,} bytes left out]\n"


def _bounded(pieces: list[Piece], ahead_seconds: float) -> Iterator[list[Piece]]:
    """Pieces in entries that are not large."""
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        if some and size + len(piece.text) > logs.MAX_ENTRY_BYTES:
            yield some
            some, size = [], 0
        some.append(piece._replace(time=round(piece.time + ahead_seconds, 3)))
        size += len(piece.text) + OVERHEAD_BYTES
    if some:
        yield some
