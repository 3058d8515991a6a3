"""Whether anything has happened to the caller's files since it was last asked: one question to the kernel for all.

But nobody is told what others do on a share, or on the other side of a mount into a container: files there, and those
that have a second name, are looked at one by one. So is each once a second, wherever it is: who replaces a folder by
another mount, or writes by mapped memory, is not told of either.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

FILE_SYSTEMS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Those that are changed through this machine's kernel only."""
MOUNTS = Path("/proc/self/mountinfo")


class Watch:
    """For one thread at a time. `of` makes it, `close` ends it."""

    def __init__(self, folders: Iterable[str]) -> None:
        from inotify_simple import INotify, flags  # here, as it takes 6 ms

        of_folder = flags.MODIFY | flags.ATTRIB | flags.MOVED_FROM | flags.MOVED_TO | flags.CREATE | flags.DELETE
        of_itself = flags.DELETE_SELF | flags.MOVE_SELF
        folders = set(folders)
        self._kernel = INotify(nonblocking=True)
        try:
            for above in {str(parent) for folder in folders for parent in Path(folder).parents} - folders:
                self._kernel.add_watch(above, of_itself | flags.ONLYDIR)
            for folder in folders:
                self._kernel.add_watch(folder, of_folder | of_itself | flags.ONLYDIR)
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, files: Iterable[str]) -> Watch | None:
        """A watch over these files; None where it would not be told of all that can happen to them."""
        files = list(files)
        folders = {os.path.dirname(file) for file in files}
        try:
            mounts = _mounts()
            told = all(map(_has_one_name, files)) and all(_is_plain(folder, mounts) for folder in folders)
            return cls(folders) if told else None
        except (ImportError, AttributeError, OSError, ValueError):  # another kernel, or it has no more watches to give
            return None

    def is_quiet(self) -> bool:
        """Whether nothing has happened since this was last asked, or made."""
        return not self._kernel.read(timeout=0)

    def close(self) -> None:
        self._kernel.close()


def _has_one_name(file: str) -> bool:
    """Whether a file can only be changed through the folder that it is in."""
    found = os.lstat(file)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _is_plain(folder: str, mounts: Mapping[str, str]) -> bool:
    """Whether the way to a folder has no links in it, and all that happens there is told."""
    mounted = next(place for place in map(str, [Path(folder), *Path(folder).parents]) if place in mounts)
    return os.path.realpath(folder) == folder and mounts[mounted] in FILE_SYSTEMS


def _mounts() -> dict[str, str]:
    """Where which file system is mounted, those that were mounted over others included."""
    return dict(map(_mount, MOUNTS.read_text().splitlines()))


def _mount(line: str) -> tuple[str, str]:
    """`36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/sda rw` (proc(5)) is `/mnt/a b`, of `ext4`."""
    before, _, after = line.partition(" - ")
    return before.split()[4].encode().decode("unicode_escape"), after.split()[0]
