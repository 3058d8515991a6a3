"""Makes blocks of a report: joins what its items left, bytes and plain values, cut by size. Runs nobody's code."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manycore.protocol import packing
from manycore.protocol.failure import dump_error
from manycore.protocol.message import Block, Chunk
from manycore.worker.child.tally import Report
from manycore.worker.writer import MAX_BLOCK_BYTES


def blocks_of(chunk: Chunk, report: Report, worker: str, max_item_bytes: int) -> Iterator[tuple[Block, bytes]]:
    """Each block with its packed values. Items that will run again are left out."""
    places = _kept(report)
    values: Sequence[Any] = report.values if isinstance(places, range) else [report.values[at] for at in places]
    errors = (
        {at: blob for at, place in enumerate(places) if (blob := report.errors.get(report.start + place))}
        if report.errors
        else {}
    )
    runs, unfit = packing.pack_runs(
        values,
        "The result",
        max_bytes=MAX_BLOCK_BYTES,
        max_item_bytes=max_item_bytes,
        beside={at: len(blob) for at, blob in errors.items()},
    )
    for at, error in unfit.items():  # a plain value can be too large
        runs.append(packing.Run(at, at + 1, packing.pack([None])))
        errors[at] = dump_error(error)
    for run in runs:
        held = places[run.start : run.stop]
        found = {at - run.start: errors[at] for at in range(run.start, run.stop) if at in errors} if errors else {}
        yield _block(chunk, report, held, worker, found), run.body


def _kept(report: Report) -> Sequence[int]:
    """The places of the items that are not to run again."""
    places = range(len(report.values))
    if not report.retry:
        return places
    again = {position - report.start for position in report.retry}
    return [place for place in places if place not in again]


def _block(chunk: Chunk, report: Report, places: Sequence[int], worker: str, errors: Mapping[int, bytes]) -> Block:
    start = report.start
    indices: Sequence[int]
    if isinstance(places, range):
        indices = chunk.indices_of(start + places.start, start + places.stop)
        seconds = report.seconds[places.start : places.stop]
    else:
        indices = tuple(chunk.index(start + place) for place in places)
        seconds = array("f", [report.seconds[place] for place in places])
    return Block(chunk.batch, chunk.id, indices, chunk.attempt, worker, seconds, dict(errors), mark=chunk.mark)
