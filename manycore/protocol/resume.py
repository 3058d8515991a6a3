"""How far a running chunk is, as Redis keeps it: what a redelivery goes on from, and whom it suspects.

A chunk that comes again has lost a process. If a child died, its parent has read the black box and counted the strike.
If the parent died too, nobody knows which item it was: so the next run begins in careful mode, in which each item is
noted here before it starts, and a second death names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from manycore.protocol.message import Chunk

CAREFUL_SECONDS = 2.0
"""How long a redelivered chunk runs carefully: the fatal item is among those that ran since the last report, at most
a tick before the death. Being careful costs a round trip an item."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Positions that are still to run, `[start, stop)`; `running` is the one noted in careful mode."""

    start: int
    stop: int
    running: int | None = None

    def __str__(self) -> str:
        return f"{self.start},{self.stop}" + (f",{self.running}" if self.running is not None else "")

    @classmethod
    def parse(cls, text: bytes | None, chunk: Chunk | None = None) -> Resume | None:
        """That of a chunk as Redis keeps it; None if there is none, or what is there cannot be one of this chunk."""
        try:
            found = cls(*map(int, text.split(b","))) if text else None
        except (ValueError, TypeError):
            return None
        if found is None or chunk is None or chunk.start <= found.start <= found.stop <= chunk.stop:
            return found
        return None

    def of(self, chunk: Chunk) -> Chunk:
        """The chunk without what an earlier delivery has reported or given away."""
        return replace(chunk, start=max(self.start, chunk.start), stop=min(self.stop, chunk.stop))

    def settled(self) -> Resume:
        """The same, when it is known why the process died."""
        return replace(self, running=None)
