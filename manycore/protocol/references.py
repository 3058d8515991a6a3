"""Functions and archives in Redis, each under its digest: they stay while a batch that names them is not over; those of
a named one until it is deleted, for what failed of it may be run again.

`mc:holders:<digest>` says who needs one. The last one to release it takes it along; who dies before that leaves it to
the TTL. A client stores each once for all of its batches that are under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

import redis

from manycore.protocol import keys
from manycore.protocol.parcel import Parcel
from manycore.protocol.script import Script

MAX_IDLE, MAX_IDLE_BYTES = 64, 8 * 1024 * 1024
"""What a batch may hold without needing it now: `submit` goes on in one batch, whose functions come and go."""
_hold, _release = Script(__package__, "hold"), Script(__package__, "release")


class Wanted(NamedTuple):
    """What a holder does not hold yet; `place` is that of its reply in the pipeline."""

    place: int
    holder: str
    digest: str
    sealed: bytes


@dataclass(slots=True)
class _Held:
    """What one holder holds: digest -> until when it is certain (monotonic), and how large it is."""

    until: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    most: int = MAX_IDLE

    @property
    def crowded(self) -> bool:
        return len(self.sizes) > self.most or sum(self.sizes.values()) > MAX_IDLE_BYTES


class References:
    """What one process has stored, and for which batches. Raises redis-py's errors.

    The `keeper` holds the last archive, whatever batches come and go: it is the same for most of them.
    """

    def __init__(self, client: redis.Redis, ttl_seconds: int, keeper: str | None = None) -> None:
        self._redis = client
        self._ttl = ttl_seconds
        self._keeper = keeper
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def held(self, parcels: Sequence[Parcel]) -> bool:
        """Whether these batches hold for certain what their parcels name."""
        now = monotonic()
        with self._lock:
            return all(
                holder in self._held and self._held[holder].until.get(digest, 0.0) > now
                for parcel in parcels
                for (holder, digest), _ in self._needed(parcel)
            )

    def queue(self, pipe: Any, parcels: Sequence[Parcel]) -> list[Wanted]:
        """Queue on `pipe` what lets the batches of these parcels hold what they name. `settle` wants to know of it."""
        needed = {pair: sealed for parcel in parcels for pair, sealed in self._needed(parcel)}
        wanted = []
        with self._lock:
            now = monotonic()
            there = {digest for held in self._held.values() for digest, until in held.until.items() if until > now}
            for (holder, digest), sealed in needed.items():
                if self._held.setdefault(holder, _Held()).until.get(digest, 0.0) > now:
                    continue
                wanted.append(Wanted(len(pipe), holder, digest, sealed))
                _queue_hold(pipe, holder, digest, self._ttl, b"" if digest in there else sealed)
        return wanted

    def settle(self, wanted: Sequence[Wanted], replies: Sequence[Any]) -> None:
        """Store what was taken for stored and was not; note the rest."""
        pipe = self._redis.pipeline(transaction=False)
        for _, holder, digest, sealed in (each for each in wanted if not replies[each.place] and each.sealed):
            _queue_hold(pipe, holder, digest, self._ttl, sealed)
        if len(pipe):
            pipe.execute()
        with self._lock:
            for _, holder, digest, sealed in wanted:
                held = self._held.setdefault(holder, _Held())
                held.until[digest] = monotonic() + self._ttl / 2
                held.sizes[digest] = len(sealed)
        for archive in [each.digest for each in wanted if each.holder == self._keeper]:
            self._drop(self._redis, self._keeper or "", {archive})

    def doubt(self, digests: Iterable[str] | None = None) -> None:
        """Hold these once more with the next parcel: they may be gone. None: all."""
        with self._lock:
            for held in self._held.values():
                held.until |= dict.fromkeys(held.until if digests is None else set(digests) & set(held.until), 0.0)

    def forget(self, holder: str) -> None:
        """Take nothing for held by this batch: whoever has deleted it, here or elsewhere, let go of that."""
        with self._lock:
            self._held.pop(holder, None)

    def release(self, client: redis.Redis, holder: str) -> None:
        """This batch, or keeper, needs nothing any more."""
        self._drop(client, holder, set())
        with self._lock:
            self._held.pop(holder, None)

    def prune(self, holder: str, in_use: Callable[[], set[str]]) -> None:
        """Release what is idle, if that is much."""
        held = self._held.get(holder)
        if held is not None and held.crowded:
            self._drop(self._redis, holder, in_use())
            held.most = max(MAX_IDLE, 2 * len(held.sizes))

    def _drop(self, client: redis.Redis, holder: str, kept: set[str]) -> None:
        with self._lock:
            held = self._held.get(holder, _Held())
            gone = [digest for digest in held.until if digest not in kept]
            for digest in gone:  # first: whoever needs it from now on holds it anew
                held.until[digest] = 0.0
        release(client, holder, gone)
        with self._lock:
            for digest in gone:
                if not held.until.get(digest):
                    held.until.pop(digest, None), held.sizes.pop(digest, None)

    def _needed(self, parcel: Parcel) -> Iterable[tuple[tuple[str, str], bytes]]:
        chunk, program = parcel.chunk, parcel.program
        if chunk.function:
            yield (chunk.batch, chunk.function), program.sealed_of(chunk.function)
        if chunk.code:
            sealed = program.sealed_of(chunk.code)
            yield (chunk.batch, chunk.code), sealed
            if self._keeper is not None:
                yield (self._keeper, chunk.code), sealed


def hold(client: redis.Redis, holder: str, digest: str, ttl_seconds: int) -> None:
    """Let what is there under this digest stay for so long at least. Raises redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    _queue_hold(pipe, holder, digest, ttl_seconds, b"")
    pipe.execute()


def release(client: redis.Redis, holder: str, digests: Iterable[str]) -> None:
    """This holder needs these no more. Raises redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    for digest in digests:
        _release.queue_whole(pipe, [keys.reference(digest), keys.holders(digest)], [holder])
    if len(pipe):
        pipe.execute()


def _queue_hold(pipe: Any, holder: str, digest: str, ttl_seconds: int, sealed: bytes) -> None:
    _hold.queue_whole(pipe, [keys.reference(digest), keys.holders(digest)], [holder, ttl_seconds, sealed])
