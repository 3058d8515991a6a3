"""A folder in shared memory in which large objects live, each a file that is written once and mapped by who needs it.

1. It is private: 0700, its owner is checked, no link is followed, and nothing is read that is not a whole file of ours.
2. A file has its name only once it is complete. Taking the name away frees it as soon as nobody maps it any more.
3. It lives as long as somebody holds its lock, which the kernel takes from the dead; who comes next sweeps it away.

It knows nothing of what the files hold (`flat`), nor of who else needs them (`client.objects`, `worker.objects`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, time
from typing import NamedTuple, Protocol

from manycore.errors import MessageRefused, ObjectGone, ObjectStoreFull, SettingsError
from manycore.protocol.mapping import bytes_of
from manycore.protocol.room import default_bytes
from manycore.protocol.unlocking import is_locked_within, unlocking

SHARED_MEMORY = Path("/dev/shm")
LOCK = ".alive"
DRAFT = ".draft-"
SPARED_SECONDS = 60.0
"""How old a folder, or a draft, without an owner must be: its owner may be just about to take the lock."""
COUNT_HOLDS = 20
"""A count of the room holds so many times as long as it took. That grows with the files; work must not wait for it."""
SPARED_SHARE = 16
"""Of the room that is left, the part that one process may take meanwhile."""
_NAME = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_:.-]{0,199}")


class Content(Protocol):
    """What is written: it knows its size before."""

    @property
    def size(self) -> int: ...

    def write_to(self, descriptor: int) -> None: ...


class _Entry(NamedTuple):
    name: str
    size: int
    changed_at: float


class Home:
    """One such folder. Threads and processes may share it; it is held until `close`, or the end of the process."""

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        """Join the folder at `path`. Raises `SettingsError` if it is not ours alone, `OSError` if it is not there."""
        self.path = path
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self.max_bytes = max_bytes or default_bytes(path)
        self._spare_bytes, self._counted_until = 0, 0.0
        found = os.fstat(self._folder)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            os.close(self._folder)
            raise SettingsError(f"{path} is not a private folder of this user, and large objects must not lie there.")
        self._lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._folder)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        if not os.path.samestat(found, os.lstat(path)):
            raise FileNotFoundError(errno.ENOENT, "it was swept away meanwhile", str(path))

    @classmethod
    def make(cls, kind: str, place: Path | None = None, max_bytes: int | None = None) -> Home:
        """A new one of this `kind` in `place`, by default in shared memory. Raises `OSError`."""
        return cls(Path(tempfile.mkdtemp(prefix=f"{_prefix()}{kind}-", dir=place or default_place())), max_bytes)

    @classmethod
    def join(cls, kind: str, place: Path | None = None, max_bytes: int | None = None) -> Home | None:
        """One of this `kind` that somebody holds; None if there is none."""
        for path in sorted((place or default_place()).glob(f"{_prefix()}{kind}-*")):
            with suppress(OSError, SettingsError):
                return cls(path, max_bytes)
        return None

    @property
    def id(self) -> str:
        """What tells it from every other, on this host and elsewhere."""
        return self.path.name

    def write(self, name: str, content: Content) -> None:
        """Keep `content` under `name`. Raises `ObjectStoreFull`."""
        self._check_room(content.size)
        draft = f"{DRAFT}{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells the drafts of the living from those of the dead
            content.write_to(descriptor)
            os.rename(draft, _checked(name), src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException as exc:
            with suppress(OSError):
                os.unlink(draft, dir_fd=self._folder)
            if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise ObjectStoreFull(str(self.path), content.size, self.used_bytes(), self.max_bytes) from exc
            raise
        finally:
            os.close(descriptor)

    def mapped(self, name: str, size: int, *, private: bool) -> memoryview:
        """The bytes of a file, mapped; with `private` they can be written to, and nobody else sees it.

        Raises `ObjectGone`, `MemoryError`, or `MessageRefused` for what is not such a file.
        """
        with self._opened(name, size) as descriptor:
            return bytes_of(descriptor, size, private=private)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name; it counts as used now."""
        try:
            os.utime(_checked(name), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def drop(self, name: str) -> None:
        """Free a file; nothing if it is not there."""
        with suppress(FileNotFoundError):
            os.unlink(_checked(name), dir_fd=self._folder)

    def drop_all(self, prefix: str, older_than_seconds: float = 0.0) -> None:
        """Free the files whose names begin with `prefix`."""
        for entry in self._files():
            if entry.name.startswith(prefix) and time() - entry.changed_at >= older_than_seconds:
                self.drop(entry.name)

    def drop_least_used(self, needed_bytes: int) -> None:
        """Free what was used longest ago until there is room for so much."""
        files = sorted(self._files(), key=lambda entry: entry.changed_at)
        used = sum(entry.size for entry in files)
        for entry in files:
            if used + needed_bytes <= self.max_bytes:
                return
            used -= entry.size
            self.drop(entry.name)

    def drop_drafts(self) -> None:
        """Free what was left half written by processes that have died."""
        for entry in self._entries():
            if entry.name.startswith(DRAFT) and time() - entry.changed_at > SPARED_SECONDS:
                with suppress(OSError), _locked_file(entry.name, self._folder):
                    os.unlink(entry.name, dir_fd=self._folder)

    def used_bytes(self) -> int:
        """Of all files, drafts among them."""
        return sum(entry.size for entry in self._entries())

    @contextmanager
    def alone(self, seconds: float) -> Iterator[None]:
        """One process at a time; the kernel takes the lock from one that dies. Raises `TimeoutError`: who has it may
        stand still."""
        descriptor = os.open(".turn", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._folder)
        try:
            with unlocking(descriptor):
                if not is_locked_within(descriptor, seconds):
                    raise TimeoutError(f"another process brings something here for {seconds:g} s")
                yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go, and free everything if nobody else holds it; what is mapped stays so. Safe to call again."""
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(self._lock)
            os.close(folder)
            with suppress(OSError):
                _remove_unowned(self.path, 0.0)

    def remove(self) -> None:
        """Free everything, whoever else holds it, and let go."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.close()

    @contextmanager
    def _opened(self, name: str, size: int) -> Iterator[int]:
        # Not blocking: what is no file of ours may be a pipe that nobody writes to.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(_checked(name), flags, dir_fd=self._folder)
        except OSError as exc:
            if exc.errno == errno.ENOENT or self._folder < 0:
                raise ObjectGone(name) from exc
            raise MessageRefused(f"its object {name} cannot be opened safely: {exc.strerror}") from exc
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise MessageRefused(f"its object {name} is not a private file of this user")
            if found.st_size != size:
                raise MessageRefused(f"its object {name} has {found.st_size:,} bytes, and should have {size:,}")
            yield descriptor
        finally:
            os.close(descriptor)

    def _check_room(self, size: int) -> None:
        if size <= self._spare_bytes and monotonic() < self._counted_until:
            self._spare_bytes -= size
            return
        began = monotonic()
        used = self.used_bytes()
        if used + size > self.max_bytes:
            raise ObjectStoreFull(str(self.path), size, used, self.max_bytes)
        self._spare_bytes = (self.max_bytes - used - size) // SPARED_SHARE
        self._counted_until = monotonic() + COUNT_HOLDS * (monotonic() - began)

    def _files(self) -> list[_Entry]:
        return [entry for entry in self._entries() if not entry.name.startswith(".")]

    def _entries(self) -> list[_Entry]:
        # Opened anew: where a reader is in a folder, it would share with the processes that were forked with it.
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._folder)
        try:
            with os.scandir(folder) as entries:
                return [found for entry in entries if (found := _looked_at(entry))]
        finally:
            os.close(folder)


def default_place() -> Path:
    """Shared memory, or the folder for temporary files where there is none."""
    usable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
    return SHARED_MEMORY if usable else Path(tempfile.gettempdir())


def sweep(place: Path | None = None) -> None:
    """Remove the homes in `place` whose owners are all dead."""
    place = place or default_place()
    for path in place.glob(f"{_prefix()}*"):
        with suppress(OSError):
            _remove_unowned(path, SPARED_SECONDS)


def _remove_unowned(path: Path, older_than_seconds: float) -> None:
    """Remove a home that nobody holds. Raises `OSError` if somebody does."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid() or time() - found.st_ctime < older_than_seconds:
            return
        with _locked_file(LOCK, folder):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(folder)


@contextmanager
def _locked_file(name: str, folder: int) -> Iterator[None]:
    """Hold a file's lock that nobody else holds. Raises `OSError` if somebody does."""
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        with unlocking(descriptor):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    finally:
        os.close(descriptor)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise MessageRefused(f"{name!r:.100} is no name of an object")
    return name


def _prefix() -> str:
    return f"manycore-{os.geteuid()}-"


def _looked_at(entry: os.DirEntry[str]) -> _Entry | None:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # freed meanwhile
    return _Entry(entry.name, found.st_size, found.st_mtime)
