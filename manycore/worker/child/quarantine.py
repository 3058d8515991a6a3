"""Puts items into the quarantine that got the verdict `WorkerCrashed`, with what runs them again.

A service, not a promise: if it fails it is logged, and the items get their outcomes all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from manycore.protocol import brought, keys, packing, refs
from manycore.protocol.message import Chunk, new_chunk_id
from manycore.protocol.packing import Opened
from manycore.protocol.references import hold
from manycore.quarantine.poison import MAX_PART_BYTES, Poison, PoisonItems
from manycore.worker.context import WorkerContext
from manycore.worker.strikes import Strike

logger = logging.getLogger(__name__)


def set_aside(
    context: WorkerContext, chunk: Chunk, held: Opened, crashed: Mapping[int, Strike], queue: str, shadow: str | None
) -> None:
    """Keep the items at these positions of its payload; each has one entry, however often its chunk comes again."""
    try:
        function = _function(context.redis, chunk.function)
        _keep(context.redis, chunk.code)
        items = _items(chunk, held, crashed, queue, shadow, function, context.clock.now())
        PoisonItems(context.redis, context.keyring).add(items)
    except Exception:  # a boundary: whatever goes wrong here must not cost the items their outcomes
        logger.exception("%d items of batch %s could not be put into the quarantine", len(crashed), chunk.batch)


def _items(
    chunk: Chunk,
    held: Opened,
    crashed: Mapping[int, Strike],
    queue: str,
    shadow: str | None,
    function: bytes | None,
    when: float,
) -> Iterator[Poison]:
    for position, strike in crashed.items():
        body = packing.repacked(held, position, position + 1)
        own = brought.apart(chunk, held, position)
        yield Poison(
            when=when,
            chunk=_alone(chunk, position),
            queue=queue,
            shadow=own[0] if own else shadow,
            cause=strike.cause,
            executions=strike.count,
            trace=strike.trace,
            payload_bytes=len(body),
            payload=body if len(body) <= MAX_PART_BYTES and not refs.in_pickle(body) else None,
            function=function,
        )


def _alone(chunk: Chunk, position: int) -> Chunk:
    """The item at `position` as a chunk of its own, whose payload is this item's alone."""
    return replace(
        chunk,
        id=new_chunk_id(chunk.batch),
        first=chunk.index(position),
        start=0,
        stop=1,
        payload_token=None,
        payload_digest=b"",
        skipped=(),
    )


def _function(redis: Any, digest: str | None) -> bytes | None:
    """The sealed function, unless it is large: then its own key is made to last as long as the quarantine."""
    if digest is None:
        return None
    if redis.strlen(keys.reference(digest)) <= MAX_PART_BYTES:
        sealed: bytes | None = redis.get(keys.reference(digest))
        return sealed
    _keep(redis, digest)
    return None


def _keep(redis: Any, digest: str | None) -> None:
    """Let what a chunk names by this digest last as long as the quarantine."""
    if digest is not None:
        hold(redis, "quarantine", digest, keys.QUARANTINE_TTL_SECONDS)
