"""A client's large objects: keeps them where workers find them, once each, and frees them when nobody needs them.

1. On one host with its workers (a local cluster) an object is a file in shared memory, and never passes through Redis.
   Elsewhere it goes through Redis in pieces.
2. `put` waits for room; what goes this way without being asked goes as everything else does where there is none, and
   has to wait if it is too large for that.
3. Its `Ref` frees it: the caller's, and those that the chunks hold which name it. A finalizer only takes a note.
"""

from __future__ import annotations

import pickle
import secrets
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary, finalize

import redis

from manycore.client.lasting import Lasting
from manycore.client.passing import Passing
from manycore.client.worth import SHARED_BYTES, sink_for
from manycore.errors import ManycoreError, ObjectStoreFull, ServerFull, SettingsError
from manycore.protocol import keys, pieces, refs
from manycore.protocol.flat import Flat, flatten, restored
from manycore.protocol.home import Home
from manycore.protocol.packing import Pickled
from manycore.protocol.patience import Patience
from manycore.protocol.pickling import Sink, check_size, dump_into, dumps
from manycore.protocol.python import Python
from manycore.protocol.refs import Ref
from manycore.protocol.room import await_room
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring

PUT_ASIDE_BYTES = 4 * 1024
"""Smaller buffers of what is put are pickled: to map each of many costs more than to copy it."""
ASIDE_BYTES = 256 * 1024
"""A larger argument or result lies in shared memory, where that is shared: a file costs less than a round trip."""
LOOK_SECONDS = 0.02
REFRESHES_PER_TTL = 4


class Objects:
    """Of one session. Threads may share it; it is a `Plane`."""

    def __init__(
        self, home: Home | None, client: redis.Redis, keyring: Keyring, settings: Settings, place: str
    ) -> None:
        self.home = home
        self._passing = Passing(home) if home is not None else None
        self._place = home.id if home is not None else place
        self._redis = client
        self._keyring = keyring
        self._settings = settings
        self._closed = threading.Event()
        self._patience = Patience(settings, self._closed.wait)
        self._by_content: WeakValueDictionary[str, Ref[Any]] = WeakValueDictionary()
        self._names: set[str] = set()
        self._of_items: set[str] = set()
        """The arguments of one item each."""
        self._lasting = Lasting()
        self._released: deque[str] = deque()
        self._renewing = threading.Lock()
        """Held over a round trip: else what a batch has just come to need would get back the TTL that it had before, or
        be forgotten, as the batch was not yet there when it was asked for."""
        self._next_refresh = 0.0
        refs.serve(self._place, self)

    def put(self, value: Any, other_python: Python | None = None) -> Ref[Any]:
        """Keep an object until nobody refers to it. Raises `NotPicklable`, `VersionMismatch`, `ObjectStoreFull`,
        `ServerFull`, or `SettingsError` where somebody has taken its place away."""
        with refs.noted(as_objects=False) as inside:
            flat = flatten(value, "The object", PUT_ASIDE_BYTES, other_python=other_python)
        digest = flat.digest()
        known = self._by_content.get(digest)
        if known is not None and self._is_there(known.name):
            return known
        name = known.name if known is not None else secrets.token_hex(16)
        try:
            seconds = self._settings.connection_seconds
            await_room(lambda: self._keep(name, flat), seconds, lambda: self._closed.wait(LOOK_SECONDS))
        except FileNotFoundError as exc:
            raise SettingsError(
                f"{self.home and self.home.path}, where large objects lie, was taken away (systemd does so when its "
                "user logs out: RemoveIPC). Set MANYCORE_OBJECTS_FOLDER to a folder that stays, and begin again."
            ) from exc
        if known is not None:
            return known  # it was lost, as with a server that began anew: all refs to it have it again
        told = digest if flat.is_the_same_in_every_run(value) else ""
        ref = self._by_content[digest] = self._owned(name, flat.size, told)
        ref.inside = tuple(inside)
        return ref

    def shared(self, value: Any, what: str, other_python: Python | None, *, cheap: bool = False) -> Ref[Any] | None:
        """A `Ref` for a value that many items share; None if it is too small, cannot travel, or there is no room.

        With `cheap`, None also if to rebuild it takes more than a moment.
        """
        sink = sink_for(value, self._most(), cheap=cheap)
        try:
            with refs.noted(as_objects=True) as inside:
                dump_into(sink, value, what, other_python)
            sink.check(what)
        except ManycoreError:
            return None  # who sends the value itself will say so
        if inside:
            return None  # it names what its own chunks have to hold
        return self._stowed(Flat(sink)) if sink.size >= SHARED_BYTES else None

    def pickled(self, value: Any, what: str, other_python: Python | None, found: list[Ref[Any]]) -> Pickled:
        """An argument as it travels: what is large lies in shared memory, if the workers share that.

        Called while refs are `noted` in `found`. Raises what `dumps` does, and `ObjectStoreFull` for what can travel
        no other way and has no room now.
        """
        found.clear()
        limit, home = self._settings.max_item_bytes, self.home
        if home is not None:
            sink = Sink(home.max_bytes, ASIDE_BYTES)
            dump_into(sink, value, what, other_python)
            if sink.size < ASIDE_BYTES:
                if sink.size > limit:
                    check_size(sink.size, limit, what)
                return Pickled(sink.taken(what), tuple(found))
            if sink.size <= sink.limit:
                try:
                    ref = self._passed(Flat(sink))
                    return Pickled(pickle.dumps(ref, protocol=5), tuple(found), ref.size)
                except (ObjectStoreFull, OSError) as exc:  # as no descriptor is left
                    if isinstance(exc, ObjectStoreFull) and sink.size > limit:
                        raise
        return Pickled(dumps(value, what, limit, other_python=other_python), tuple(found))

    def has_room(self, size: int) -> bool:
        """Whether an argument of this size finds room now."""
        try:
            self.tidy()
            return self._passing is None or self._passing.has_room(size)
        except OSError:  # the home was taken away: who writes there says so
            return True

    def keep_long(self, found: Iterable[Ref[Any]], batch: str) -> None:
        """Let these outlive this client, for a batch that does. Raises redis-py's errors."""
        own = {ref.name for ref in found if ref.home == self._place}
        with self._renewing:
            if self.home is None and own:
                pipe = self._redis.pipeline(transaction=False)
                for name in own:
                    pipe.expire(keys.object_pieces(name), self._lasting_seconds)
                pipe.execute()
            self._lasting.add(own, batch)

    def tidy(self) -> None:
        """Free what nobody refers to any more. Raises redis-py's errors, and then does it the next time."""
        names: list[str] = []
        with suppress(IndexError):  # all of them, or another thread has just taken the others
            while True:
                names.append(self._released.popleft())
        self._names.difference_update(names)  # first: a batch that lets go of one now finds that it has no `Ref`
        gone = [name for name in names if name not in self._lasting]
        if self._passing is not None:
            self._passing.forget(names)
        self._of_items.difference_update(gone)
        try:
            self._drop(gone)
        except redis.RedisError:
            self._released.extend(gone)
            raise

    def forget_results(self, batch: str) -> None:
        """Free what workers kept for this batch and nobody took."""
        if self.home is not None:
            self.home.drop_all(f"{batch}.")

    def let_go(self, batch: str) -> None:
        """A named batch is deleted: what only that one needed goes with its `Ref`, which may be gone already."""
        self._free(self._lasting.let_go(batch))

    def answered(self, batch: str, names: Iterable[str]) -> None:
        """Items of a named batch that were passed these all have results: their own arguments are needed no more."""
        own = self._of_items.intersection(names)
        if own:
            self._free(self._lasting.let_go(batch, own))

    def share(self, batch: str, other: str) -> None:
        """Another named batch needs what this one does."""
        self._lasting.share(batch, other)

    def refresh(self) -> None:
        """Let nothing that is referred to run into its TTL; what was kept for batches whose records are gone, by theirs
        or because somebody deleted them, is kept for them no more. Raises redis-py's errors."""
        if monotonic() < self._next_refresh or not (self._names or self._lasting):
            return
        with self._renewing:
            batches = self._lasting.batches()
            pipe = self._redis.pipeline(transaction=False)
            for batch in batches:
                pipe.exists(keys.batch(batch))
            for name in list(self._names) if self.home is None else ():
                pipe.expire(keys.object_pieces(name), self._ttl_of(name))
            for batch, is_there in zip(batches, pipe.execute(), strict=False):
                if not is_there:
                    self.let_go(batch)
        shortest = min(self._settings.batch_ttl_seconds, keys.OBJECT_TTL_SECONDS)
        self._next_refresh = monotonic() + shortest / REFRESHES_PER_TTL

    def close(self) -> None:
        """Free everything but what has to last. Raises redis-py's errors."""
        self._closed.set()
        self._drop([name for name in list(self._names) if name not in self._lasting])
        if self.home is not None:
            self.home.close()

    def value(self, _home: str, name: str, size: int, *, private: bool) -> Any:
        """The object of this name. Raises `ObjectGone`, `MessageRefused`, or `ConnectionFailed`."""
        if self.home is not None:
            return restored(self.home.mapped(name, size, private=private))
        content = self._patience.ride_out(lambda: b"".join(pieces.fetch(self._redis, self._keyring, name, size)))
        return restored(memoryview(content), copied=private)

    def taken(self, home: str, name: str, size: int) -> Any:
        """A result that a worker kept. Raises as `value` does."""
        if self.home is None:
            return self.value(home, name, size, private=True)
        try:
            # Copied: what a caller holds of its results must not fill shared memory.
            return restored(self.home.mapped(name, size, private=False), copied=True)
        finally:
            self.home.drop(name)

    def _stowed(self, flat: Flat) -> Ref[Any] | None:
        """A `Ref` that no caller sees; None if there is no room."""
        try:
            return self._stow(flat)
        except (ObjectStoreFull, ServerFull, OSError):
            return None

    def _passed(self, flat: Flat) -> Ref[Any]:
        if self._passing is None:
            return self._stow(flat)
        self._passing.check(flat.size)
        ref = self._stow(flat)
        self._passing.note(ref.name, ref.size)
        self._of_items.add(ref.name)
        return ref

    def _stow(self, flat: Flat) -> Ref[Any]:
        name = secrets.token_hex(16)
        self._keep(name, flat)
        return self._owned(name, flat.size, "", private=True)

    def _is_there(self, name: str) -> bool:
        if self.home is not None:
            return self.home.has(name)
        return self._patience.ride_out(lambda: pieces.are_there(self._redis, name))

    def _keep(self, name: str, flat: Flat) -> None:
        if self.home is not None:
            if self._released:
                self.tidy()
            self.home.write(name, flat)
            return
        self._patience.ride_out(lambda: pieces.store(self._redis, self._keyring, name, flat, self._ttl_of(name)))

    def _owned(self, name: str, size: int, digest: str, *, private: bool = False) -> Ref[Any]:
        ref: Ref[Any] = Ref(self._place, name, size, digest, private=private)
        self._names.add(name)
        finalize(ref, self._released.append, name).atexit = False
        return ref

    def _free(self, names: list[str]) -> None:
        """Of these, which no batch needs, free soon what has no `Ref` either."""
        self._released.extend(name for name in names if name not in self._names)

    @property
    def _lasting_seconds(self) -> int:
        return max(self._settings.batch_ttl_seconds, keys.OBJECT_TTL_SECONDS)

    def _ttl_of(self, name: str) -> int:
        return self._lasting_seconds if name in self._lasting else keys.OBJECT_TTL_SECONDS

    def _most(self) -> int | None:
        return self.home.max_bytes if self.home is not None else None

    def _drop(self, names: list[str]) -> None:
        if self.home is not None:
            for name in names:
                self.home.drop(name)
        elif names:
            self._redis.unlink(*map(keys.object_pieces, names))
