"""A chunk with all that it takes to send it: kept until its items are answered, so that it can be sent again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from manycore.protocol.message import Chunk


@dataclass(frozen=True, slots=True)
class Program:
    """What the chunks of a batch run: a task, and perhaps a function (with keyword arguments) shipped to it."""

    task: str
    queue: str
    shadow: str | None = None
    digest: str | None = None
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A chunk, the program that it runs, and its payload."""

    chunk: Chunk
    program: Program
    body: bytes

    def part(self, start: int, stop: int) -> Parcel:
        """The items `[start, stop)`, by index, as a chunk of its own."""
        first = self.chunk.first
        return Parcel(self.chunk.part(start - first, stop - first), self.program, self.body)

    def again(self, start: int, stop: int) -> Parcel:
        """The same items, to be sent once more since their message got lost."""
        part = self.part(start, stop)
        return replace(part, chunk=replace(part.chunk, suspect=True))
