"""How far a running chunk is, as Redis keeps it: what a redelivery goes on from, and what it must be careful with.

A chunk that comes again has lost a process. If a child died, its parent has read the black box and counted the strike.
If the parent died too, nobody knows which item it was. But a run says beforehand up to where it goes without counting
(`begun`), and only once that is in Redis it goes there. So each item has at most one execution that is not counted
before it begins: the next run counts whatever the last one may have begun.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from manycore.protocol.message import Chunk

STEPS = FUNCTION, INITIALIZER = "function", "initializer"
"""What is counted under its function's digest where it kills, as it comes before the items."""


def new_run(chunk: Chunk) -> str:
    """The name of one run of a chunk: no other run of any chunk of its batch has it."""
    return f"{chunk.id.rpartition('.')[2]}/{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Resume:
    """Positions that are still to run, `[start, stop)`, as `run` wrote them; none has begun that is not below `begun`.

    `first` is the index of the item at position 0. Those below `careful` may have been begun by one of the runs
    `before`, whose fate nobody saw.
    """

    first: int
    start: int
    stop: int
    careful: int
    begun: int
    run: str
    before: str = ""

    def __str__(self) -> str:
        before = self.before if self.start < self.careful else ""
        return f"{self.first},{self.start},{self.stop},{self.careful},{self.begun},{self.run},{before}"

    @classmethod
    def parse(cls, text: bytes | None) -> Resume | None:
        """None if there is none, or none that we wrote: it is not signed."""
        try:
            first, start, stop, careful, begun, run, before = (text or b"").decode().split(",")
            return cls(int(first), int(start), int(stop), int(careful), int(begun), run, before)
        except ValueError:
            return None

    def of(self, chunk: Chunk) -> Chunk:
        """The chunk without what an earlier run has reported or given away."""
        start = min(max(self.start, chunk.start), chunk.stop)
        if (start, self.stop) == (chunk.start, chunk.stop):
            return chunk
        return replace(chunk, start=start, stop=max(start, min(self.stop, chunk.stop)))
