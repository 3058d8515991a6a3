"""How items that are to run again leave their chunk: as chunks of their own, which carry no neighbour's arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from manycore.protocol import packing
from manycore.protocol.message import Chunk
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report

MAX_MESSAGES = 64
"""Of one report, about: where more items have failed, neighbours wait together. Each message costs some 2 kB and 1 ms
of a worker's parent."""


@dataclass(frozen=True, slots=True)
class Again:
    """A chunk to be sent after a wait, with its inline payload."""

    chunk: Chunk
    payload: bytes
    delay_seconds: float


def retries_of(run: ChunkRun, report: Report, lease_seconds: float, inline_bytes: int) -> list[Again]:
    """The chunks for what a report has to retry. What was postponed comes again after a lease, without having run."""
    chunk, postponed = run.chunk, run.tally.postponed
    size = -(-len(report.retry) // MAX_MESSAGES)
    found = []
    for span in _neighbours(report.retry, postponed, size):
        part = chunk.again(span.start, span.stop, postponed=span.start in postponed)
        part = replace(part, suspect=run.unseen(span.start))
        delay = lease_seconds if span.start in postponed else chunk.options.backoff.delay(chunk.attempt)
        own = packing.repacked(run.held, span.start, span.stop)
        if chunk.payload_token is None or len(own) <= inline_bytes:
            found.append(Again(part.moved(), own, delay))
        else:  # large: it stays beside
            found.append(Again(part, b"", delay))
    return found


def _neighbours(positions: list[int], postponed: set[int], size: int) -> Iterator[range]:
    """These positions, which ascend, as ranges of at most `size` of one kind."""
    start = previous = positions[0]
    for position in [*positions[1:], None]:
        if position != previous + 1 or position - start >= size or (position in postponed) != (start in postponed):
            yield range(start, previous + 1)
            start = position if position is not None else start
        previous = position if position is not None else previous
