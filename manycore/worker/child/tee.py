"""`sys.stdout` and `sys.stderr` of a process that runs items: files as before, and a listener is told what is written.

They stay ordinary text files over the same descriptors, with `buffer`, `fileno` and encoding; what is written goes
where it went. Text and bytes meet in the buffer, so both are heard. What goes to the descriptor itself, a subprocess's
output too, is not. Where the worker's own log goes to nobody any more, the listener alone is told.
"""

from __future__ import annotations

import errno
import io
import logging
import sys
from typing import Any, Protocol


class Listener(Protocol):
    def hear(self, stream: str, data: bytes, encoding: str) -> None: ...


class Listeners(Protocol):
    """Who hears what is written: one for all threads, or one of the calling thread."""

    @property
    def of_process(self) -> Listener | None: ...

    def capture(self) -> Listener | None: ...


_kept: list[object] = []
"""What was there, and what is: dropped, as by an item that puts something else in their place, they would close."""
_LOGS = logging.StreamHandler.emit.__code__
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.ENOSPC, errno.EDQUOT})
"""Its reader has ended, its terminal is closed, its disk is full."""


class WorkersLog(io.FileIO):
    """What a worker was given to write to. That it takes nothing any more is no error of whoever prints."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as exc:
            if exc.errno not in _GONE:
                raise
            return memoryview(data).nbytes


class Tee(io.BufferedWriter):
    """A buffer that tells what is written to it."""

    def __init__(self, raw: io.FileIO, name: str, listeners: Listeners, *, unbuffered: bool) -> None:
        super().__init__(raw)
        self._put = super().write
        self._told_as = name
        self._listeners = listeners
        self._unbuffered = unbuffered
        self.encoding = "utf-8"

    def write(self, data: Any, /) -> int:
        written = self._put(data)  # first: what cannot be written was not
        listener = self._listeners.of_process or self._listeners.capture()
        if listener is not None and sys._getframe(1).f_code is not _LOGS:  # a record is heard as such
            listener.hear(self._told_as, data if type(data) is bytes else bytes(data), self.encoding)
        if self._unbuffered:
            self.flush()
        return written


def install(listeners: Listeners) -> None:
    """Let one of `listeners` be told from now on, if these are files at all."""
    for name in ("stdout", "stderr"):
        text = getattr(sys, name)
        teed = _teed(text, name, listeners)
        if teed is not None:
            _kept.extend((text, teed))
            setattr(sys, name, teed)


def _teed(text: Any, name: str, listeners: Listeners) -> io.TextIOWrapper | None:
    """None for what is no text file: closed, or put there by somebody else."""
    if type(text) is not io.TextIOWrapper or text.closed:
        return None
    unbuffered = not isinstance(text.buffer, io.BufferedWriter)  # `python -u`
    raw = WorkersLog(text.fileno(), "w", closefd=False)
    raw.name = text.name
    buffer = Tee(raw, name, listeners, unbuffered=unbuffered)
    teed = io.TextIOWrapper(
        buffer, text.encoding, text.errors, newline="\n", line_buffering=text.line_buffering, write_through=True
    )
    buffer.encoding = teed.encoding
    teed.mode = "w"  # type: ignore[misc]
    return teed
