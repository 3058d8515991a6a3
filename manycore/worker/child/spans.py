"""Spans of a chunk and of each of its items, where the caller has a span and this process has OpenTelemetry."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from manycore.protocol.message import Chunk
from manycore.protocol.tracing import item_span, spanning

if TYPE_CHECKING:
    from manycore.worker.child.run import ChunkRun
    from manycore.worker.child.turn import Call


def chunk_span(chunk: Chunk, name: str) -> AbstractContextManager[None]:
    """Around all of a chunk's run, as a child of its batch's span, or of its caller's."""
    attributes = {
        "manycore.batch": chunk.batch,
        "manycore.chunk": chunk.id,
        "manycore.items": len(chunk),
        "manycore.attempt": chunk.attempt,
    }
    return spanning(f"chunk {name}", attributes, chunk.options.trace)


def with_spans(call: Call, run: ChunkRun) -> Call:
    """The same call, each item in a span of its own; what it raises is noted there."""
    chunk, note = run.chunk, run.box.note
    name = f"item {run.shadow or chunk.task}"
    known = {"manycore.batch": chunk.batch, "manycore.attempt": chunk.attempt}

    def spanned(item: Any) -> Any:
        with item_span(name, {"manycore.index": chunk.index(note[0]), **known}):
            return call(item)

    return spanned
