"""Writes blocks of outcomes to the stream of their batch: what a child's items left, and what a parent refuses.

It writes the same outcome twice rather than never: the caller keeps the first.
"""

from __future__ import annotations

import secrets
from array import array
from typing import Any

from manycore.errors import BatchCancelled, ManycoreError, RemoteTraceback
from manycore.protocol import account, keys, packing
from manycore.protocol.account import Told
from manycore.protocol.entries import NOT_BEGUN
from manycore.protocol.failure import dump_error
from manycore.protocol.message import Block, Chunk, seal_block
from manycore.worker.context import WorkerContext

MAX_BLOCK_BYTES = 1024 * 1024
"""A larger block travels beside the stream, so that one XREAD cannot grow without bound."""


class OutcomeWriter:
    """Writes for one process. Raises redis-py's errors when the server is away."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def add(self, pipe: Any, block: Block, body: bytes, *, begun: bool = True) -> None:
        """Queue a block with its packed values on `pipe`; beside the stream if it is large.

        Items that were not `begun` will be by the next run of their batch.
        """
        self.put(pipe, block.batch, self.sealed(block, body), begun=begun)

    def sealed(self, block: Block, body: bytes) -> bytes:
        """A block with its packed values, as it travels."""
        return seal_block(self._context.keyring, block, body)

    def put(self, pipe: Any, batch: str, sealed: bytes, *, begun: bool = True) -> None:
        """Queue what `sealed` gave, likewise."""
        stream, mark = keys.outcomes(batch), {} if begun else {NOT_BEGUN: b""}
        if len(sealed) <= MAX_BLOCK_BYTES:
            pipe.xadd(stream, {b"o": sealed, **mark})
            return
        token = secrets.token_hex(8)
        pipe.set(keys.values(batch, token), sealed, ex=self._context.settings.batch_ttl_seconds)
        pipe.xadd(stream, {b"k": token, **mark})

    def keep_alive(self, pipe: Any, chunk: Chunk) -> None:
        """Queue the refreshing of the stream's TTL."""
        pipe.expire(keys.outcomes(chunk.batch), self.ttl(chunk))

    def ttl(self, chunk: Chunk) -> int:
        """How many seconds the stream stays after the last outcome."""
        return keys.stream_ttl(chunk.ephemeral, self._context.settings.batch_ttl_seconds)

    def fail(self, chunk: Chunk, error: ManycoreError) -> None:
        """Write `error` as the outcome of every item of a chunk that cannot run."""
        indices = chunk.own_indices(chunk.start, chunk.stop)
        size = len(indices)
        cause = error.__cause__
        blob = dump_error(error, cause.text if isinstance(cause, RemoteTraceback) else "")
        block = Block(
            chunk.batch,
            chunk.id,
            indices,
            chunk.attempt,
            self._context.name,
            array("f", bytes(4 * size)),
            dict.fromkeys(range(size), blob),
            mark=chunk.mark,
        )
        pipe = self._context.redis.pipeline(transaction=False)
        self.add(pipe, block, packing.pack([None] * size), begun=False)
        self.keep_alive(pipe, chunk)
        account.execute(pipe, self._count(pipe, chunk, error, size))

    def _count(self, pipe: Any, chunk: Chunk, error: ManycoreError, size: int) -> list[Told]:
        """Queue what the batch's account has to know: its `size` items."""
        if isinstance(error, BatchCancelled):
            return []
        name = type(error).__name__
        told = {
            "report": f"{chunk.id} refused",
            "facts": {"named": int(not chunk.ephemeral)},
            "counts": {"done": size, "failed": size},
            "errors": {name: (size, f"{name}: {error}"[: account.MAX_TRACE])},
        }
        ttl = keys.stream_ttl(chunk.ephemeral, self._context.settings.batch_ttl_seconds)
        return [account.tell(pipe, chunk.batch, ttl, told, f"{self._context.name}-refusals")]
