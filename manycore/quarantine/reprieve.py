"""Gives poison items another chance: each as a chunk of its own, so one that kills again takes nobody along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from manycore.protocol.again import Part, Resender, Retried
from manycore.protocol.parcel import Program
from manycore.quarantine.poison import Poison


def retry(resender: Resender, items: Sequence[Poison]) -> Retried:
    """Send items of one batch as a new batch. Raises redis-py's errors; then they may run, for nobody."""
    return resender.send(items[0].chunk.batch, [item.name for item in items], len(items), map(_part, items))


def by_batch(items: Iterable[Poison]) -> list[list[Poison]]:
    """The items of each batch, in the order of its input."""
    ordered = sorted(items, key=lambda item: (item.chunk.batch, item.chunk.first))
    return [list(group) for _, group in groupby(ordered, key=lambda item: item.chunk.batch)]


def _part(item: Poison) -> Part:
    program = Program(item.chunk.task, item.queue, item.shadow, item.chunk.function, item.function)
    return Part(item.chunk, program, item.payload or b"", (item.chunk.first,))
