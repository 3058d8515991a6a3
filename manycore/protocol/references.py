"""Functions and archives in Redis, each under its digest: they stay while a batch that names them is not over; those of
a named one until it is deleted, for what failed of it may be run again.

`mc:holders:<digest>` says who needs one. The last one to release it takes it along; who dies before that leaves it to
the TTL. A client stores each once for all of its batches that are under way, and one hold of its serves all of those
that end with it: the next `map` of the same function, a moment later, finds it held (`shares`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, NamedTuple

import redis

from manycore.protocol import keys
from manycore.protocol.parcel import Parcel
from manycore.protocol.script import Script
from manycore.protocol.shares import IDLE_SECONDS, Share, Shares

Needed = tuple[str, str, str | None, bytes]
"""A holder, a digest, the batch that shares it (None: it does not), and what to store."""
_hold, _release = Script(__package__, "hold"), Script(__package__, "release")


class Wanted(NamedTuple):
    """What a holder does not hold yet; `place` is that of its reply in the pipeline. Shared, it is for `batch`."""

    place: int
    holder: str
    digest: str
    sealed: bytes
    batch: str | None = None


class References:
    """What one process has stored, and for which batches. Raises redis-py's errors.

    With a `keeper` it is a client's: its batches without a name share, and the keeper holds the last archive, whatever
    batches come and go: it is the same for most of them.
    """

    def __init__(self, client: redis.Redis, ttl_seconds: int, keeper: str | None = None) -> None:
        self._redis = client
        self._ttl = ttl_seconds
        self._keeper = keeper
        self._lock = threading.Lock()
        self._until: dict[str, dict[str, float]] = {}
        """Of each holder: digest -> until when it is certain (monotonic)."""
        self._shares = Shares()
        self._idle_seconds = IDLE_SECONDS
        """How long what no batch needs stays: not at all once the keeper needs nothing, for no `map` comes any more."""

    def held(self, parcels: Sequence[Parcel]) -> bool:
        """Whether these batches hold for certain what their parcels name."""
        now = monotonic()
        with self._lock:
            return all(self._holds(each, now) for parcel in parcels for each in self._needed(parcel))

    def queue(self, pipe: Any, parcels: Sequence[Parcel]) -> list[Wanted]:
        """Queue on `pipe` what lets the batches of these parcels hold what they name. `settle` wants to know of it."""
        needed = {each[:3]: each[3] for parcel in parcels for each in self._needed(parcel)}
        wanted = []
        with self._lock:
            now = monotonic()
            there = {digest for held in self._until.values() for digest, until in held.items() if until > now}
            there |= self._shares.certain(now)
            for (holder, digest, batch), sealed in needed.items():
                if self._holds((holder, digest, batch, sealed), now):
                    continue
                name = holder if batch is None else self._shares.holder(digest, batch)
                wanted.append(Wanted(len(pipe), name, digest, sealed, batch))
                _queue_hold(pipe, name, digest, self._ttl, b"" if digest in there else sealed)
        return wanted

    def settle(self, wanted: Sequence[Wanted], replies: Sequence[Any]) -> None:
        """Store what was taken for stored and was not; note the rest."""
        pipe = self._redis.pipeline(transaction=False)
        for each in wanted:
            if not replies[each.place] and each.sealed:
                _queue_hold(pipe, each.holder, each.digest, self._ttl, each.sealed)
        if len(pipe):
            pipe.execute()
        until = monotonic() + self._ttl / 2
        with self._lock:
            for each in wanted:
                if each.batch is None:
                    self._until.setdefault(each.holder, {})[each.digest] = until
                else:
                    self._shares.note(each.digest, each.holder, each.batch, len(each.sealed), until)
        for archive in [each.digest for each in wanted if each.holder == self._keeper]:
            self._drop(self._redis, self._keeper or "", {archive})

    def doubt(self, digests: Iterable[str] | None = None) -> None:
        """Hold these once more with the next parcel: they may be gone. None: all."""
        named = None if digests is None else set(digests)
        with self._lock:
            self._shares.doubt(named)
            for held in self._until.values():
                held |= dict.fromkeys(held if named is None else named & set(held), 0.0)

    def forget(self, holder: str) -> None:
        """Take nothing for held by this batch: whoever has deleted it, here or elsewhere, let go of that."""
        with self._lock:
            self._until.pop(holder, None)

    def release(self, client: redis.Redis, holder: str) -> None:
        """This batch, or keeper, needs nothing any more. What was shared stays for a moment (`drop_idle`)."""
        self._drop(client, holder, set())
        with self._lock:
            self._until.pop(holder, None)
            self._shares.leave(holder)
        if holder == self._keeper:
            self._idle_seconds = 0.0

    def drop_idle(self, client: redis.Redis) -> None:
        """Release what no batch has needed for a while."""
        with self._lock:
            dropped = self._shares.drop_idle(self._idle_seconds)
        self._release(client, dropped)

    def prune(self, batch: str, in_use: Callable[[], set[str]]) -> None:
        """Release what is idle, if that is much."""
        with self._lock:
            if not self._shares.crowded(batch):
                return
        used = in_use()
        with self._lock:
            dropped = self._shares.prune(batch, used)
        self._release(self._redis, dropped)

    def _release(self, client: redis.Redis, dropped: Sequence[Share]) -> None:
        if not dropped:
            return
        try:
            pipe = client.pipeline(transaction=False)
            for share in dropped:
                _queue_release(pipe, share.holder, share.digest)
            pipe.execute()
        except BaseException:
            with self._lock:
                self._shares.put_back(dropped)
            raise
        with self._lock:
            self._shares.dropped(dropped)

    def _drop(self, client: redis.Redis, holder: str, kept: set[str]) -> None:
        with self._lock:
            held = self._until.get(holder, {})
            gone = [digest for digest in held if digest not in kept]
            for digest in gone:  # first: whoever needs it from now on holds it anew
                held[digest] = 0.0
        release(client, holder, gone)
        with self._lock:
            for digest in gone:
                if not held.get(digest):
                    held.pop(digest, None)

    def _holds(self, needed: Needed, now: float) -> bool:
        holder, digest, batch, _ = needed
        if batch is not None:
            return self._shares.use(digest, batch, now)
        return self._until.get(holder, {}).get(digest, 0.0) > now

    def _needed(self, parcel: Parcel) -> Iterable[Needed]:
        chunk, program = parcel.chunk, parcel.program
        sharing = chunk.batch if self._keeper is not None and chunk.ephemeral else None
        if chunk.function:
            yield chunk.batch, chunk.function, sharing, program.sealed_of(chunk.function)
        if chunk.code:
            sealed = program.sealed_of(chunk.code)
            yield chunk.batch, chunk.code, sharing, sealed
            if self._keeper is not None:
                yield self._keeper, chunk.code, None, sealed


def hold(client: redis.Redis, holder: str, digest: str, ttl_seconds: int) -> None:
    """Let what is there under this digest stay for so long at least. Raises redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    _queue_hold(pipe, holder, digest, ttl_seconds, b"")
    pipe.execute()


def release(client: redis.Redis, holder: str, digests: Iterable[str]) -> None:
    """This holder needs these no more. Raises redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    for digest in digests:
        _queue_release(pipe, holder, digest)
    if len(pipe):
        pipe.execute()


def _queue_hold(pipe: Any, holder: str, digest: str, ttl_seconds: int, sealed: bytes) -> None:
    _hold.queue_whole(pipe, [keys.reference(digest), keys.holders(digest)], [holder, ttl_seconds, sealed])


def _queue_release(pipe: Any, holder: str, digest: str) -> None:
    _release.queue_whole(pipe, [keys.reference(digest), keys.holders(digest)], [holder])
