"""Makes a chunk of a run of items, and puts it on its way, once or again."""

from __future__ import annotations

import secrets

import redis

from manycore.client.lane import Lane
from manycore.client.passage import Cut
from manycore.protocol import keys
from manycore.protocol.message import Chunk, new_chunk_id
from manycore.protocol.packing import Run
from manycore.protocol.parcel import Parcel
from manycore.protocol.parcels import Parcels
from manycore.protocol.publisher import Publisher
from manycore.protocol.record import covers
from manycore.protocol.references import References
from manycore.protocol.refs import with_inside
from manycore.protocol.settings import Settings
from manycore.protocol.signing import content_digest


class Sender:
    """Raises redis-py's errors when the server is away or full; what arrived is then unknown."""

    def __init__(
        self,
        client: redis.Redis,
        publisher: Publisher,
        references: References,
        settings: Settings,
        home: str | None = None,
    ) -> None:
        """`home` is where the client and its workers share memory, if they do."""
        self._redis = client
        self._home = home
        self._references = references
        self._parcels = Parcels(client, publisher, references, settings.batch_ttl_seconds)
        self._settings = settings

    def parcel(self, lane: Lane, cut: Cut, run: Run) -> Parcel:
        """One run of a cut as a chunk, with all that it takes to send it."""
        refs = with_inside(cut.program.refs + run.refs)
        beside = lane.record is not None or len(run.body) > self._settings.inline_bytes
        chunk = Chunk(
            id=new_chunk_id(lane.id),
            batch=lane.id,
            task=cut.program.task,
            function=cut.program.digest,
            options=cut.options,
            first=cut.first + run.start,
            start=0,
            stop=run.stop - run.start,
            payload_token=secrets.token_hex(8) if beside else None,
            payload_digest=content_digest(run.body) if beside else b"",
            total=lane.source.total,
            ephemeral=lane.ephemeral,
            code=cut.program.code.digest if cut.program.code else None,
            packages=cut.program.packages,
            home=self._home if lane.ephemeral else None,  # a named batch's outcomes can be read more than once
            objects=tuple({ref.name for ref in refs}) if lane.record is not None else (),
            mark=lane.record.mark if lane.record is not None else "",
        )
        return Parcel(chunk, cut.program, run.body, refs, run.held_bytes)

    def send(self, parcel: Parcel, gaps: list[range], lane: Lane, *, later: bool = False) -> None:
        """Send these items of a parcel, by index; the lane's record notes it for who goes on with the batch. `later`
        lets other batches go first."""
        parts = None if gaps == [covers(parcel.chunk)] else [parcel.part(gap.start, gap.stop) for gap in gaps]
        self._parcels.send([parcel], parts, lane.record, later=later)
        self._references.prune(lane.id, lane.custody.references)

    def send_again(self, parcel: Parcel, indices: range) -> None:
        """Send the items of these indices once more: their message is gone."""
        self._references.doubt(parcel.program.references)  # they may be gone too
        self._parcels.send([parcel], [parcel.again(indices.start, indices.stop)])

    def take_back(self, parcel: Parcel) -> None:
        """Delete what a chunk has brought along that nobody waits for."""
        self._references.release(self._redis, parcel.chunk.batch)
        token = parcel.chunk.payload_token
        if token is not None:
            self._redis.delete(keys.payload(parcel.chunk.batch, token))

    def doubt_references(self) -> None:
        """Store functions and code again with the next chunk."""
        self._references.doubt()
