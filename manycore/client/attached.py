"""A batch that another process has sent whole, opened from its record: nothing is left to send, all to gather."""

from __future__ import annotations

from manycore.client.lane import Lane, Sink
from manycore.client.sources import SentSource
from manycore.protocol.record import Record, covers


def attached_lane(record: Record, sink: Sink) -> tuple[Lane, str]:
    """The lane of a batch that has a record, and the name of its function.

    Raises `UnknownBatch`, or `BatchIncomplete` if its client has not sent all of it.
    """
    function, parcels = record.attach()
    lane = Lane(record.batch, SentSource(record.total or 0), sink, ephemeral=False)
    lane.record = record
    for parcel in parcels:
        indices = covers(parcel.chunk)
        if indices.start >= lane.ledger.sent_items:  # a chunk sent again repeats items of another
            _skip_to(lane, indices.start)
            chunk = parcel.chunk
            lane.ledger.send(chunk.id, len(indices), 0, chunk.payload_token, parcel)
    _skip_to(lane, record.total or 0)
    return lane, function


def _skip_to(lane: Lane, index: int) -> None:
    """Items that are in no chunk have their outcomes in the stream: refused, or answered before the last run began."""
    hole = index - lane.ledger.sent_items
    if hole > 0:
        lane.ledger.send("", hole, 0, None)
