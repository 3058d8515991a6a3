"""Large objects on a worker's host: mapped by all its processes from one copy, and the large results that they leave.

The parent makes the home, or joins the one that it is told (a local cluster's, which its client shares); its children
inherit it. An object that is not there yet is fetched by one process, checked, and then found by all the others.
"""

from __future__ import annotations

import pickle
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from time import sleep
from typing import Any

import redis

from manycore.errors import MessageRefused, ObjectGone, ObjectStoreFull, PayloadTooLarge, SettingsError
from manycore.protocol import keys, pieces, refs
from manycore.protocol.flat import Flat, restored
from manycore.protocol.home import LOCK, Home, default_place, sweep
from manycore.protocol.message import Chunk
from manycore.protocol.packing import Pickled
from manycore.protocol.patience import OF_WORKERS, Patience
from manycore.protocol.pickling import Sink, check_size, dump_into, dumps
from manycore.protocol.room import await_room
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring

ASIDE_BYTES = 256 * 1024
"""A larger result lies in shared memory, where its client shares that."""
KEPT_BYTES = 128 * 1024 * 1024
"""An immutable object of at most this size, the last one used, is not copied out of its file again."""
ROOM_SECONDS, LOOK_SECONDS = 10.0, 0.05
"""How long a result that is too large for a message waits for room. Its client takes results as fast as they come."""
WHAT = "The result"


class WorkerObjects:
    """Of one worker: made in the parent, used in each child; threads share it. It is a `Plane`."""

    def __init__(self, settings: Settings, keyring: Keyring, connect: Callable[[], redis.Redis]) -> None:
        self.home = _home_of(settings, keyring)
        self._is_a_client_s = self.home.path == settings.objects_folder
        """Then what lies there is the only copy, and has an owner: nothing makes way for what others have."""
        self._settings = settings
        self._keyring = keyring
        self._connect = connect
        self._patience = Patience(settings, _pause, OF_WORKERS)
        self._lock = threading.Lock()
        self._views: dict[str, memoryview] = {}
        self._last: tuple[str, Any] = "", None
        self.waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        """Around what an item waits for here: its time limit does not count that."""

    def begin(self) -> None:
        """Give the objects of this process's items."""
        refs.serve_others(self)

    def value(self, home: str, name: str, size: int, *, private: bool) -> Any:
        """The object. Raises `ObjectGone`, `MessageRefused`, `ObjectStoreFull`, or `ConnectionFailed`."""
        kept, value = self._last
        if kept == name:
            return value
        if home == self.home.id:
            value = restored(self._view(name, size, private=private))
        else:
            value = self._brought(name, size, private=private)
        if type(value) in (bytes, str) and size <= KEPT_BYTES:
            self._last = name, value
        return value

    def taken(self, home: str, name: str, size: int) -> Any:
        """As `value`: results are their client's to take."""
        return self.value(home, name, size, private=True)

    def let_go(self) -> None:
        """Of what was mapped for a chunk or a plain call, as it ends: it may have been freed."""
        with self._lock:
            self._views = {}

    def pickled(self, value: Any, chunk: Chunk, max_bytes: int) -> Pickled:
        """A result as it travels. Raises `NotPicklable`, `PayloadTooLarge`, or `ObjectStoreFull` for what is too large
        for a message, and waited in vain for its client to take others."""
        if chunk.home != self.home.id:
            return Pickled(dumps(value, WHAT, max_bytes))
        sink = Sink(self.home.max_bytes, ASIDE_BYTES)
        dump_into(sink, value, WHAT)
        if sink.size < ASIDE_BYTES:
            check_size(sink.size, max_bytes, WHAT)
            return Pickled(sink.taken(WHAT))
        name = f"{chunk.batch}.{secrets.token_hex(8)}"
        try:
            sink.check(WHAT)
            flat = Flat(sink)
            seconds = ROOM_SECONDS if sink.size > max_bytes else 0.0
            with self.waiting():
                await_room(lambda: self.home.write(name, flat), seconds, lambda: _pause(LOOK_SECONDS))
        except (ObjectStoreFull, PayloadTooLarge, OSError) as exc:  # then as everything else
            if isinstance(exc, ObjectStoreFull) and sink.size > max_bytes:
                raise
            return Pickled(dumps(value, WHAT, max_bytes))
        return Pickled(pickle.dumps(refs.Result(self.home.id, name, flat.size), protocol=5))

    def sweep(self) -> None:
        """Free what processes that died have left: halves of files, and results that nobody took in all this time."""
        self.home.drop_drafts()
        for batch in (keys.MAPS, keys.CALLS, "batch-"):
            self.home.drop_all(batch, keys.EPHEMERAL_TTL_SECONDS)

    def room(self) -> tuple[str, int, int] | None:
        """The home, its bytes in use and their limit, as a heartbeat tells; None if it cannot be read."""
        try:
            return self.home.id, self.home.used_bytes(), self.home.max_bytes
        except OSError:
            return None

    def close(self) -> None:
        """Let go of the home; the last one of this host's workers frees it."""
        self.home.close()

    def _view(self, name: str, size: int, *, private: bool) -> memoryview:
        if private:
            return self.home.mapped(name, size, private=True)
        with self._lock:
            view = self._views.get(name)
        if view is None:
            view = self.home.mapped(name, size, private=False)
            with self._lock:
                self._views[name] = view
        return view

    def _brought(self, name: str, size: int, *, private: bool) -> Any:
        if self._is_a_client_s:
            return restored(self._held(name, size), copied=private)
        try:
            view = self._bring(name, size, private=private)
        except (FileNotFoundError, TimeoutError):
            # A cleaner has taken the home (systemd does, when its user logs out); or who brings something stands still.
            return restored(self._held(name, size), copied=private)
        except ObjectStoreFull:
            if not private or size > self._settings.max_item_bytes:
                raise
            # Nobody asked for shared memory: without room there, it comes as any other argument does.
            return restored(self._held(name, size), copied=True)
        return restored(view)

    def _held(self, name: str, size: int) -> memoryview:
        """In this process's own memory, until the end of the chunk or call."""
        view = self._views.get(name)
        if view is None:
            with self.waiting():
                view = memoryview(self._patience.ride_out(lambda: b"".join(self._fetch(name, size))))
            with self._lock:
                self._views[name] = view
        return view

    def _bring(self, name: str, size: int, *, private: bool) -> memoryview:
        """Have an object on this host. Who comes while another process fetches it waits for that one."""
        if self.home.has(name):
            with suppress(ObjectGone):  # another process has just made room for what it brings
                return self._view(name, size, private=private)
        # Alone until it is mapped: nobody makes room meanwhile.
        with self.waiting(), self.home.alone(self._settings.connection_seconds):
            if not self.home.has(name):
                if not self._patience.ride_out(lambda: pieces.are_there(self._connect(), name)):
                    raise ObjectGone(name)  # before anything makes room for it
                self.home.drop_least_used(size)
                self._patience.ride_out(lambda: self.home.write(name, _Fetched(self._fetch(name, size), size)))
            return self._view(name, size, private=private)

    def _fetch(self, name: str, size: int) -> Iterator[bytes]:
        return pieces.fetch(self._connect(), self._keyring, name, size)


class _Fetched:
    """An object on its way from Redis into a file."""

    def __init__(self, content: Iterator[bytes], size: int) -> None:
        self._content = content
        self.size = size

    def write_to(self, descriptor: int) -> None:
        """Raises what fetching does, and `MessageRefused` for another size."""
        left = self.size
        with open(descriptor, "wb", buffering=0, closefd=False) as file:
            for piece in self._content:
                left -= len(piece)
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
        if left:
            raise MessageRefused("an object has another size than its message says")


def _home_of(settings: Settings, keyring: Keyring) -> Home:
    """The home that the settings name, or one of this host's workers with this key. Raises `SettingsError`."""
    place, limit = settings.objects_folder, settings.objects_bytes
    try:
        if place is not None and (place / LOCK).exists():
            return Home(place, limit)
        sweep(place)
        kind = f"worker-{keyring.ids[0]}"
        return Home.join(kind, place, limit) or Home.make(kind, place, limit)
    except OSError as exc:
        where = place or default_place()
        raise SettingsError(
            f"Large objects are to be kept in {where}, and cannot: {exc.strerror or exc}. Make room there, or set "
            "MANYCORE_OBJECTS_FOLDER to another folder."
        ) from exc


def _pause(seconds: float) -> bool:
    sleep(seconds)
    return False
