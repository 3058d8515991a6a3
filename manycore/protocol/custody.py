"""Who answers for a batch's items: what was sent, what is answered, and what got lost on the way.

A client keeps it for each of its batches, a worker for those that were handed over. It neither sends nor reads, and its
users hold their own lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from time import monotonic

import redis

from manycore.protocol import keys
from manycore.protocol.ledger import Ledger, Part, Sent
from manycore.protocol.parcel import Parcel
from manycore.protocol.ranges import RangeSet
from manycore.protocol.record import covers


class Custody:
    """The ledger of one batch, with what the audits of it have found. `heard_at` is when it last got an outcome."""

    def __init__(self, *, keeps_failures: bool = True) -> None:
        self.ledger = Ledger(keeps_failures=keeps_failures)
        self.covered = RangeSet()
        """What messages of an earlier run of the same batch still hold."""
        self.arriving: dict[object, Sequence[int]] = {}
        """The items whose outcomes are here and are still being rebuilt."""
        self.heard_at = monotonic()
        self._missed = RangeSet()

    @classmethod
    def of(cls, parcels: Iterable[Parcel], total: int) -> Custody:
        """That of a batch of `total` items that was sent whole, from its record."""
        custody = cls()
        for parcel in parcels:
            indices = covers(parcel.chunk)
            if indices.start >= custody.ledger.sent_items:  # a chunk sent again repeats items of another
                custody._skip_to(indices.start)
                chunk = parcel.chunk
                custody.ledger.send(chunk.id, len(indices), 0, chunk.payload_token, parcel)
        custody._skip_to(total)
        return custody

    def answer(self, indices: Sequence[int], errors: Collection[int] = ()) -> tuple[list[Part], list[Sent]]:
        """Note outcomes: the parts of them that are the first of their items, and the chunks that this finished."""
        self.heard_at = monotonic()
        return self.ledger.answer(indices, errors)

    def gaps(self, indices: range) -> list[range]:
        """The parts of these items that have to be sent: neither answered nor in a message since an earlier run."""
        spans = self.covered.missing(indices.start, indices.stop)
        return [gap for span in spans for gap in self.ledger.answered.missing(span.start, span.stop)]

    def lost(self, covered: RangeSet) -> list[tuple[Parcel, range]]:
        """What has to be sent again: what no message covers, now and when this was last asked, and is not arriving.

        From then on that is looked for as anew: its outcome may come between the looks at outcomes and at messages.
        """
        for indices in list(self.arriving.values()):
            for span in [indices] if isinstance(indices, range) else [range(at, at + 1) for at in indices]:
                covered.add(span.start, span.stop)
        found = self.ledger.missing(covered)
        before, self._missed = self._missed, RangeSet()
        for _, span in found:
            for part in before.missing(span.start, span.stop):
                self._missed.add(part.start, part.stop)
        return [(parcel, part) for parcel, span in found for part in before.common(span.start, span.stop)]

    @property
    def has_missed(self) -> bool:
        """Whether the last audit missed something: the next one tells whether it is lost."""
        return len(self._missed) > 0

    def keys_in_use(self, batch: str) -> set[str]:
        """The keys without which the rest of the batch could not run, or could not be gathered."""
        found = {keys.payload(batch, token) for token in self.ledger.open_payloads()}
        found |= {name for digest in self.references() for name in (keys.reference(digest), keys.holders(digest))}
        chunks = [sent.parcel.chunk for sent in self.ledger.open if sent.parcel is not None]
        found |= {keys.object_pieces(name) for chunk in chunks for name in chunk.objects}
        return found | set(keys.owned_by(batch))

    def references(self) -> set[str]:
        """The functions and archives that the rest of the batch needs, by digest."""
        return {digest for sent in self.ledger.open if sent.parcel for digest in sent.parcel.chunk.references}

    def _skip_to(self, index: int) -> None:
        """Items that are in no chunk have their outcomes in the stream: refused, or answered before the last run."""
        hole = index - self.ledger.sent_items
        if hole > 0:
            self.ledger.send("", hole, 0, None)


def refresh(client: redis.Redis, kept: Mapping[str, Custody], ttl_seconds: int) -> None:
    """Give what these batches still need its whole TTL again."""
    pipe = client.pipeline(transaction=False)
    for key in {key for batch, custody in kept.items() for key in custody.keys_in_use(batch)}:
        pipe.expire(key, ttl_seconds)
    pipe.execute()
