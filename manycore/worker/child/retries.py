"""How items that are to run again leave their chunk: as chunks of their own, which carry no neighbour's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from manycore.protocol import packing
from manycore.protocol.message import Chunk
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report

K = TypeVar("K")
MAX_MESSAGES = 4
"""Of one report, about: where more items have failed, those that follow each other wait together. Each message costs
3 ms of work, as much as many items, and reports come every 50 ms; to spread over the wait, few are enough."""


@dataclass(frozen=True, slots=True)
class Again:
    """A chunk to be sent after a wait, with its inline payload."""

    chunk: Chunk
    payload: bytes
    delay_seconds: float


def retries_of(run: ChunkRun, report: Report, lease_seconds: float, inline_bytes: int) -> list[Again]:
    """The chunks for what a report has to retry. What was postponed comes again after a lease, without having run."""
    chunk, postponed = run.chunk, run.tally.postponed
    retry = [position for position in report.retry if position not in run.tally.skipped]
    size = -(-len(retry) // MAX_MESSAGES)
    found = []
    for (is_postponed, suspect), positions in _groups(retry, lambda p: (p in postponed, run.unseen(p)), size):
        part = replace(chunk.again(positions, postponed=is_postponed), suspect=suspect)
        delay = lease_seconds if is_postponed else chunk.options.backoff.delay(chunk.attempt)
        own = packing.repacked(run.held, part.start, part.stop, without=part.skipped)
        if chunk.payload_token is None or len(own) <= inline_bytes:
            found.append(Again(part.moved(), own, delay))
        else:  # large: it stays beside
            found.append(Again(part, b"", delay))
    return found


def _groups(positions: list[int], kind: Callable[[int], K], size: int) -> Iterator[tuple[K, list[int]]]:
    """These positions, which ascend, in groups of at most `size` that follow each other and are of one kind."""
    for found, neighbours in groupby(positions, kind):
        group = list(neighbours)
        yield from ((found, group[at : at + size]) for at in range(0, len(group), size))
