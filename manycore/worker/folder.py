"""A worker's own folder: its black boxes, a lock that its parent holds for as long as it lives, and a mark that it was
told to stop.

The kernel takes the lock from the dead. So a worker finds the folders of those of its cluster that died whole on this
machine, and what their boxes say of whom the death took along (`parent.predecessors`).
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from manycore.errors import SettingsError
from manycore.protocol.moments import moment_of, settled_moment_of
from manycore.worker import blackbox

PREFIX = "manycore-worker-"
LOCK = ".alive"
"""It holds the id of the key with which the worker signs: whoever has that key is of the same cluster."""
STOPS = ".stops"


class RunFolder:
    """Made and held by a worker's parent; its children `let_go` of the lock."""

    def __init__(self, place: Path | None, key: str) -> None:
        """A new folder with room for black boxes. Raises `SettingsError`."""
        self._others: list[Path] = []
        self._listed = -1
        """When something had last come or gone there as it was listed; -1 if that was just then."""
        where = place or Path(tempfile.gettempdir())
        try:
            blackbox.check_room(where)
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.write(self._lock, key.encode())
        except OSError as exc:
            raise SettingsError(
                f"A worker keeps the black boxes of its processes in {where}, and cannot: "
                f"{exc.strerror or exc}. Make room there, or set MANYCORE_RUN_FOLDER to another folder."
            ) from exc

    def let_go(self) -> None:
        """Hold the lock no longer in this process: a child, which a parent's death ends."""
        with suppress(OSError):
            os.close(self._lock)

    def say_stops(self) -> None:
        """It was told to stop: what dies with it from now on is not to blame, whether it comes to say so or not."""
        with suppress(OSError):  # the disk is full: its last words may still be heard
            (self.path / STOPS).touch()

    def of_the_dead(self, keys: list[str]) -> list[Path]:
        """The folders beside this one of workers that are gone, and signed with one of these keys.

        Two who look at once find the same.
        """
        return [path for path in self._beside() if _key_of_the_dead(path) in keys]

    def _beside(self) -> list[Path]:
        """The folders of other workers. They stand in /tmp, as a rule, which may hold very much else: it is listed anew
        when something has come or gone there."""
        place = self.path.parent
        try:
            if moment_of(place) != self._listed:
                moment = settled_moment_of(place)
                names = sorted(name for name in os.listdir(place) if name.startswith(PREFIX) and name != self.path.name)
                self._others, self._listed = [place / name for name in names], moment
        except OSError:
            return []
        return self._others


def was_stopping(folder: Path) -> bool:
    """Whether the worker with this folder had been told to stop."""
    return (folder / STOPS).exists()


def _key_of_the_dead(path: Path) -> str | None:
    """With which key the worker with this folder signed; None if it lives, or is another user's."""
    with ExitStack() as opened:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            opened.callback(os.close, folder)
            lock = os.open(LOCK, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return os.read(lock, 64).decode(errors="replace") if os.fstat(lock).st_uid == os.geteuid() else None
        except OSError:
            return None
