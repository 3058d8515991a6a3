"""A chunk with all that it takes to send it: kept until its items are answered, so that it can be sent again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from manycore.protocol import glimpse
from manycore.protocol.archive import Archive
from manycore.protocol.message import LOST, CallForm, Chunk
from manycore.protocol.packing import HELD_PER_BYTE
from manycore.protocol.python import Python
from manycore.protocol.refs import Ref


@dataclass(frozen=True, slots=True)
class Program:
    """What the chunks of a batch run: a task, and perhaps a function (with keyword arguments) shipped to it.

    `code` is the archive of the caller's own modules, from which the function is imported. With `other_python`, which
    workers have, what goes by value goes as source. To hold `refs` keeps what the function names where it is.
    """

    task: str
    queue: str
    shadow: str | None = None
    digest: str | None = None
    sealed: bytes | None = None
    code: Archive | None = None
    packages: tuple[str, ...] = ()
    other_python: Python | None = None
    refs: tuple[Ref[Any], ...] = ()
    keywords: str = ""
    """Its keyword arguments, as people are shown them."""

    def call(self, form: CallForm, item: Any) -> str:
        """The call that an item becomes, as people are shown it."""
        return glimpse.call(self.name, item, form, self.keywords)

    @property
    def name(self) -> str:
        """What it is called in Flower and in the logs."""
        return self.shadow or self.task

    @property
    def references(self) -> list[str]:
        """What the chunks name by its digest and must find in Redis, as far as it is here."""
        return [digest for digest in (self.digest, self.code and self.code.digest) if digest and self.sealed_of(digest)]

    def sealed_of(self, digest: str) -> bytes:
        """What lies in Redis under this digest; empty if it is not here."""
        if digest == self.digest:
            return self.sealed or b""
        return self.code.sealed if self.code is not None and digest == self.code.digest else b""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A chunk, the program that it runs, and its payload.

    To hold `refs` keeps what the payload names where it is: `held_bytes` of it are this chunk's alone.
    """

    chunk: Chunk
    program: Program
    body: bytes
    refs: tuple[Ref[Any], ...] = ()
    held_bytes: int = 0

    @property
    def weight(self) -> float:
        """In bytes: of what travels, and a little of what does not."""
        return len(self.body) + self.held_bytes / HELD_PER_BYTE

    @property
    def inline(self) -> bytes:
        """The payload as it goes in the message: none if it travels beside it."""
        return self.body if self.chunk.payload_token is None else b""

    def part(self, start: int, stop: int) -> Parcel:
        """The items `[start, stop)`, by index, as a chunk of its own."""
        first = self.chunk.first
        return replace(self, chunk=self.chunk.part(start - first, stop - first))

    def again(self, start: int, stop: int) -> Parcel:
        """The same items, to be sent once more since their message got lost."""
        part = self.part(start, stop)
        return replace(part, chunk=replace(part.chunk, suspect=LOST))
