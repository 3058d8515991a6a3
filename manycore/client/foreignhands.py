"""Whether batches of this client were cancelled or deleted elsewhere: by another client, or by somebody in Flower."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import redis

from manycore.client.lane import Lane
from manycore.protocol import keys
from manycore.protocol.broker import run_of
from manycore.protocol.record import Record

logger = logging.getLogger(__name__)


class ForeignHands:
    """Used by the housekeeper's thread alone.

    A named batch without a record was deleted, unless the server is not the one any more that had it: one that began
    anew without what it held has deleted nothing, and the batch goes on here as one without a name.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._unrecorded: WeakSet[Record] = WeakSet()

    def ended(self, lanes: Iterable[Lane]) -> list[tuple[Lane, bytes | None]]:
        """Those that are to end, with their flags; None for what was deleted. Raises redis-py's errors."""
        lanes = list(lanes)
        # First: a server that begins anew in between is taken for the one before, and looked at again.
        server = run_of(self._redis) if any(lane.record for lane in lanes) else ""
        pipe = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipe.hmget(keys.batch(lane.id), "cancelled", "function")
        found: list[Any] = pipe.execute()
        return [
            (lane, flag)
            for lane, (flag, function) in zip(lanes, found, strict=True)
            if flag is not None or (lane.record is not None and self._is_deleted(lane.record, function, server))
        ]

    def _is_deleted(self, record: Record, function: bytes | None, server: str) -> bool:
        if function is not None:
            record.server = server
            return False
        if record.server != server and record not in self._unrecorded:
            self._unrecorded.add(record)
            logger.warning(
                "The server has begun anew without what it held. Batch %s goes on, but without its record: it cannot "
                "be attached to, and the same id begins anew",
                record.batch,
            )
        return record not in self._unrecorded
