"""Takes in what a batch's outcome stream holds: verifies each entry, unpacks it, gives it to the batch's lane.

What does not verify is dropped and counted. It neither waits for entries (`gather`) nor writes any.
"""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import redis

from manycore.client.lane import Lane
from manycore.errors import ManycoreError, MessageRefused, SigningKeyMismatch
from manycore.protocol import keys, packing
from manycore.protocol.codec import Keyring
from manycore.protocol.failure import load_error
from manycore.protocol.ledger import Sent
from manycore.protocol.message import open_block
from manycore.protocol.record import ENTRIES_PER_READ

logger = logging.getLogger(__name__)
Entries = list[tuple[bytes, dict[bytes, bytes]]]


class OutcomeStream:
    """For any number of lanes. Without `values` it learns only which items are answered: nothing is unpickled."""

    def __init__(self, client: redis.Redis, keyring: Keyring, *, values: bool = True) -> None:
        self._redis = client
        self._keyring = keyring
        self._values = values
        self.refused = 0

    def replay(self, lane: Lane) -> None:
        """Take in all that is in the stream of a lane and was not yet read."""
        while entries := self._redis.xrange(keys.outcomes(lane.id), min=f"({lane.last_read}", count=ENTRIES_PER_READ):
            self.take(lane, cast(Any, entries))

    def take(self, lane: Lane, entries: Entries) -> None:
        """Take in these entries of a lane's stream, those that it has read left out."""
        finished: list[Sent] = []
        beside: list[str] = []
        for entry_id, fields in entries:
            if order(entry_id.decode()) <= order(lane.last_read):
                continue
            try:
                finished += self._accept(lane, fields, beside)
            except MessageRefused as exc:
                self.refused += 1
                logger.warning("An outcome in the stream of batch %s was refused: %s", lane.id, exc)
        lane.last_read = max(lane.last_read, entries[-1][0].decode(), key=order)
        self._tidy(lane, finished, beside)

    def _accept(self, lane: Lane, fields: dict[bytes, bytes], beside: list[str]) -> list[Sent]:
        if b"r" in fields:
            return self._refusal(lane, fields[b"r"])
        sealed: Any = fields.get(b"o")
        if b"k" in fields:
            key = keys.values(lane.id, fields[b"k"].decode())
            sealed = self._redis.get(key)
            beside.append(key)
        if sealed is None:
            raise MessageRefused("its values are no longer in Redis")
        block, body = open_block(self._keyring, sealed, lane.id)
        if block.cancelled:
            return lane.arrived(block, [], {})
        if not self._values:
            return lane.arrived(block, [None] * len(block.indices), {})
        values, errors = packing.unpack_each(body, "The result")
        errors |= {offset: load_error(blob) for offset, blob in block.errors.items()}
        return lane.arrived(block, values, errors)

    def _refusal(self, lane: Lane, record: bytes) -> list[Sent]:
        """An unsigned record: believed only in that the chunk did not run."""
        try:
            said = json.loads(record)
            chunk, reason, known = str(said["chunk"]), str(said["reason"]), [str(key) for key in said["keys"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise MessageRefused("it is no outcome and no refusal") from exc
        error: ManycoreError = MessageRefused(reason)
        if not set(self._keyring.ids) & set(known):
            error = SigningKeyMismatch(self._keyring.ids[0], ", ".join(known))
        return lane.reject(chunk, error)

    def _tidy(self, lane: Lane, finished: list[Sent], beside: list[str]) -> None:
        """Delete what nobody needs any more; a crash before this leaves it to the TTL."""
        gone = [keys.payload(lane.id, sent.payload_token) for sent in finished if sent.payload_token]
        if lane.ephemeral:
            gone += beside
        pipe = self._redis.pipeline(transaction=False)
        if gone:
            pipe.delete(*gone)
        if lane.ephemeral:
            pipe.xtrim(keys.outcomes(lane.id), minid=_after(lane.last_read), approximate=False)
        if len(pipe):
            pipe.execute()


def order(entry_id: str) -> tuple[int, int]:
    """How stream ids are ordered."""
    milliseconds, sequence = entry_id.split("-")
    return int(milliseconds), int(sequence)


def _after(entry_id: str) -> str:
    """The smallest stream id above this one."""
    milliseconds, sequence = entry_id.split("-")
    return f"{milliseconds}-{int(sequence) + 1}"
