"""A value as one run of bytes that is written once and mapped: its pickle, and behind it the buffers left out of it.

Layout, little endian: magic, number of buffers, bytes of the pickle; the length of each buffer; the pickle; each buffer
on a boundary of 64 bytes. What is mapped is not copied: NumPy, Arrow and pandas find their buffers where they lie.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from typing import Any

from manycore.errors import MessageRefused
from manycore.protocol import refs
from manycore.protocol.pickling import Sink, dump_into
from manycore.protocol.python import Python

MAGIC = b"mco1"
BOUNDARY = 64
"""Of a cache line, and of what vector instructions want."""
WRITE_TOGETHER = 64 * 1024
GLANCE_BYTES = 64 * 1024
"""Of a longer pickle nobody looks through all."""
_TEXTS = (bytes, str, bytearray)
_VARYING = (b"\x8f", b"\x91", b"cloudpickle", refs.__name__.encode())
"""What stands in the pickle of a set, a frozen one (in the order of a hash seed), what is pickled by value (with random
ids) and a `Ref` (a random name)."""
_HEAD = Struct("<4sIQ")
_LENGTH = Struct("<Q")


class Flat:
    """A pickled value, not yet copied: it refers to the value's own buffers, which must not change meanwhile."""

    def __init__(self, sink: Sink) -> None:
        self._pickle: list[Any] = sink.parts
        self._buffers = sink.buffers
        pickled = sum(map(len, sink.parts))
        lengths = [buffer.nbytes for buffer in sink.buffers]
        self._head = _HEAD.pack(MAGIC, len(lengths), pickled) + b"".join(map(_LENGTH.pack, lengths))
        self._pickled = pickled
        end = len(self._head) + pickled
        for length in lengths:
            end = _aligned(end) + length
        self.size = end

    @property
    def inline_bytes(self) -> int:
        """Bytes of the pickle itself, which is rebuilt with copies."""
        return self._pickled

    def pieces(self) -> Iterator[Any]:
        """All of it, in order, without a copy of what is large."""
        small: list[Any] = [self._head]
        held = at = len(self._head)
        for part in (*self._pickle, *self._padded()):
            size = memoryview(part).nbytes
            at += size
            if held + size > WRITE_TOGETHER:
                yield b"".join(small)
                small, held = [], 0
            if size > WRITE_TOGETHER:
                yield part
            else:
                small.append(part)
                held += size
        yield b"".join(small)

    def write_to(self, descriptor: int) -> None:
        """Write all of it. Raises `OSError`, as when there is no room."""
        for piece in self.pieces():
            view = memoryview(piece).cast("B")
            while view:
                view = view[os.write(descriptor, view) :]

    def is_the_same_in_every_run(self, value: Any) -> bool:
        """Whether every run makes the same bytes of this value, as far as a glance at its pickle says. A long one is
        taken for one that varies; so is a short one that holds such a byte by chance."""
        if type(value) in _TEXTS:
            return True
        if self._pickled > GLANCE_BYTES:
            return False
        pickled = b"".join(self._pickle)
        return not any(mark in pickled for mark in _VARYING)

    def digest(self) -> str:
        """What tells this content from any other."""
        state = blake2b(digest_size=16, person=b"manycore-object")
        for piece in self.pieces():
            state.update(piece)
        return state.hexdigest()

    def _padded(self) -> Iterator[Any]:
        end = len(self._head) + self._pickled
        for buffer in self._buffers:
            yield bytes(_aligned(end) - end)
            yield buffer
            end = _aligned(end) + buffer.nbytes


def flatten(
    value: Any, what: str, aside_bytes: int, *, max_bytes: int | None = None, other_python: Python | None = None
) -> Flat:
    """Pickle a value, buffers of at least `aside_bytes` left where they are.

    Raises `NotPicklable`, `PayloadTooLarge` or `VersionMismatch`.
    """
    sink = Sink(max_bytes, aside_bytes)
    dump_into(sink, value, what, other_python)
    sink.check(what)
    return Flat(sink)


def restored(view: memoryview, *, copied: bool = False) -> Any:
    """The value in these bytes; its buffers are parts of `view`, or `copied` from there, and can then be written to.

    Raises `MessageRefused` for what is not whole, and whatever the value's own classes raise.
    """
    if len(view) < _HEAD.size:
        raise MessageRefused("an object of its arguments is cut short")
    magic, count, pickled = _HEAD.unpack_from(view)
    begin = _HEAD.size + count * _LENGTH.size
    if magic != MAGIC or begin + pickled > len(view):
        raise MessageRefused("an object of its arguments is not one of manycore's, or cut short")
    end = begin + pickled
    buffers = []
    for place in range(count):
        (length,) = _LENGTH.unpack_from(view, _HEAD.size + place * _LENGTH.size)
        start = _aligned(end)
        end = start + length
        buffers.append(bytearray(view[start:end]) if copied else view[start:end])
    if end != len(view):
        raise MessageRefused("an object of its arguments has another length than it says")
    return pickle.loads(view[begin : begin + pickled], buffers=buffers)


def _aligned(offset: int) -> int:
    return -(-offset // BOUNDARY) * BOUNDARY
