"""Takes in what a batch's outcome stream holds: reads each entry, unpacks its values, gives them to the batch's lane.

An entry that cannot be read is dropped and counted; it costs nobody else anything. It neither waits for entries
(`reader`) nor writes any.
"""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic
from typing import Any, cast
from weakref import ReferenceType, ref

import redis

from manycore.client.lane import Lane
from manycore.client.objects import Objects
from manycore.client.rebuilding import Rebuilding, Shift
from manycore.errors import MessageRefused
from manycore.protocol import keys
from manycore.protocol.broker import AWAY, FULL
from manycore.protocol.entries import NOT_BEGUN, Fields, Rejected, read_entry
from manycore.protocol.ledger import Sent
from manycore.protocol.line import Command
from manycore.protocol.record import ENTRIES_PER_READ
from manycore.protocol.signing import Keyring
from manycore.protocol.wire import Wire

logger = logging.getLogger(__name__)
Entries = list[tuple[bytes, Fields]]
TRIM_SECONDS = 1.0
TRIM_BYTES = 256 * 1024
"""What was read leaves the server after so long, or when it is so much: to trim a stream is a command, and its answer
wakes the reader once more."""


class OutcomeStream:
    """For any number of lanes, on one thread at a time, and on those that were relieved of a value (`rebuilding`)."""

    def __init__(self, client: redis.Redis, keyring: Keyring, objects: Objects) -> None:
        self._redis = client
        self._keyring = keyring
        self._objects = objects
        self._due: list[Command] = []
        """Commands that tidy up: for whoever speaks to the server next."""
        self._untrimmed: dict[ReferenceType[Lane], None] = {}
        self._untrimmed_bytes = 0
        self._trimmed_at = monotonic()
        self.refused = 0

    def replay(self, lane: Lane, *, again: bool = False) -> None:
        """Take in all that is in the stream of a lane and was not yet read.

        Run `again`, a batch forgets the outcomes of items that were not begun.
        """
        stream = keys.outcomes(lane.id)
        while entries := cast(Any, self._redis.xrange(stream, min=f"({lane.last_read}", count=ENTRIES_PER_READ)):
            unbegun = [entry_id for entry_id, fields in entries if again and NOT_BEGUN in fields]
            if unbegun:
                self._redis.xdel(stream, *unbegun)
            begun = fresh(lane, [entry for entry in entries if entry[0] not in unbegun])
            if begun:
                self.take(lane, begun, Shift())
                self.tidy(self._redis)
            lane.last_read = entries[-1][0].decode()
        lane.ledger.answered_before = len(lane.ledger.answered)

    def take(self, lane: Lane, entries: deque[Fields | Rebuilding], shift: Shift) -> None:
        """Take in these entries of a lane's stream, and blocks that others have begun to rebuild, until none is left or
        the shift is relieved. `tidy` is due then."""
        finished: list[Sent] = []
        beside: list[str] = []
        try:
            while entries and not shift.relieved:
                entry = entries.popleft()
                try:
                    if isinstance(entry, Rebuilding):
                        finished += entry.tell() + shift.rebuild(entry)
                    else:
                        finished += self._accept(lane, entry, beside, shift)
                except MessageRefused as exc:
                    self.refused += 1
                    logger.warning("An outcome in the stream of batch %s was refused: %s", lane.id, exc)
                except (*AWAY, FULL):
                    entries.appendleft(entry)
                    raise
        finally:
            self._done_with(lane, finished, beside)

    def tidy(self, client: redis.Redis) -> None:
        """Delete what was taken in and nobody needs any more. A crash before it leaves that to its TTL."""
        self._trim()
        if self._due:
            due = self._due[:]
            pipe: Any = client.pipeline(transaction=False)
            for command in due:
                pipe.execute_command(*command)
            pipe.execute()
            del self._due[: len(due)]  # more may be due by now

    def tidy_and(self, command: Command, wire: Wire) -> Any:
        """The same, and one command more in the same round trip: the answer to that."""
        if self._untrimmed_bytes > TRIM_BYTES or monotonic() - self._trimmed_at > TRIM_SECONDS:
            self._trim()
        due = self._due[:]
        reply = wire.execute([*due, command])[-1]
        del self._due[: len(due)]
        return reply

    def _accept(self, lane: Lane, fields: Fields, beside: list[str], shift: Shift) -> list[Sent]:
        self._untrimmed_bytes += sum(map(len, fields.values()))
        entry = read_entry(self._redis, self._keyring, lane.id, fields)
        if isinstance(entry, Rejected):
            return lane.reject(entry.chunk, entry.error)
        if lane.record is not None and not lane.record.owns(entry):
            return []
        if entry.beside is not None:
            beside.append(entry.beside)
        if entry.block.cancelled:
            return lane.arrived(entry.block, [], {})
        return shift.rebuild(Rebuilding(lane, entry))

    def _done_with(self, lane: Lane, finished: list[Sent], beside: list[str]) -> None:
        """What failed of a named batch may be run again: the arguments of its chunk stay."""
        over = [sent for sent in finished if lane.ephemeral or not sent.failed]
        gone = [keys.payload(lane.id, sent.payload_token) for sent in over if sent.payload_token]
        if lane.ephemeral:
            gone += beside
        else:
            parcels = [sent.parcel for sent in over if sent.parcel is not None]
            self._objects.answered(lane.id, [name for parcel in parcels for name in parcel.chunk.objects])
        if gone:
            self._due.append(("DEL", *gone))
        if lane.ephemeral:
            self._untrimmed[ref(lane)] = None

    def _trim(self) -> None:
        """What was read of these streams is due to leave them; one whose lane is over leaves as a whole (`tidy`)."""
        self._trimmed_at, self._untrimmed_bytes = monotonic(), 0
        while self._untrimmed:
            lane = self._untrimmed.popitem()[0]()
            if lane is not None and not lane.over:
                self._due.append(("XTRIM", keys.outcomes(lane.id), "MINID", _after(lane.last_read)))


def fresh(lane: Lane, entries: Entries) -> deque[Fields | Rebuilding]:
    """The entries that a lane has not read yet; it has now."""
    found: deque[Fields | Rebuilding] = deque(
        fields for entry_id, fields in entries if order(entry_id.decode()) > order(lane.last_read)
    )
    if found:
        lane.last_read = entries[-1][0].decode()
    return found


def order(entry_id: str) -> tuple[int, int]:
    """How stream ids are ordered."""
    milliseconds, sequence = entry_id.split("-")
    return int(milliseconds), int(sequence)


def _after(entry_id: str) -> str:
    """The smallest stream id above this one."""
    milliseconds, sequence = entry_id.split("-")
    return f"{milliseconds}-{int(sequence) + 1}"
