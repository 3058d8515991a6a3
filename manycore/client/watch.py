"""Whether anything has happened to the caller's files since it was last asked: one question to the kernel for all.

But nobody is told what others do on a share, or on the other side of a mount into a container: files there are looked
at one by one. So is each once a second, wherever it is: who replaces a folder by another mount, or writes by mapped
memory, is not told of either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

FILE_SYSTEMS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Those that are changed through this machine's kernel only."""
MOUNTS = Path("/proc/self/mountinfo")


class Watch:
    """For one thread at a time. `of` makes it, `close` ends it."""

    def __init__(self, files: Iterable[str], folders: set[str]) -> None:
        from inotify_simple import INotify, flags  # here, as it takes 6 ms

        of_file = flags.MODIFY | flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF
        of_folder = of_file | flags.MOVED_FROM | flags.MOVED_TO | flags.CREATE | flags.DELETE | flags.ONLYDIR
        self._kernel = INotify(nonblocking=True)
        try:
            for above in {str(parent) for folder in folders for parent in Path(folder).parents} - folders:
                self._kernel.add_watch(above, flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR)
            for folder in folders:
                self._kernel.add_watch(folder, of_folder)
            for file in files:  # which may have other names, elsewhere
                self._kernel.add_watch(file, of_file)
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, files: Iterable[str]) -> Watch | None:
        """A watch over these files; None where it would not be told of all that can happen to them."""
        files = list(files)
        try:
            mounts = _mounts()
            told = all(_is_told(file, mounts) for file in files)
            return cls(files, {os.path.dirname(file) for file in files}) if told else None
        except (ImportError, AttributeError, OSError, ValueError):  # another kernel, or it has no more watches to give
            return None

    def is_quiet(self) -> bool:
        """Whether nothing has happened since this was last asked, or made."""
        try:
            return not self._kernel.read(timeout=0)
        except (OSError, ValueError):  # a program that has closed what it did not open
            return False

    def close(self) -> None:
        with suppress(OSError):
            self._kernel.close()


def _is_told(file: str, mounts: Mapping[str, str]) -> bool:
    """Whether a file is no link, nor behind one, and in a file system of which all is told."""
    mounted = next((place for place in map(str, [Path(file), *Path(file).parents]) if place in mounts), "")
    return os.path.realpath(file) == file and mounts.get(mounted) in FILE_SYSTEMS


def _mounts() -> dict[str, str]:
    """Where which file system is mounted, those that were mounted over others included."""
    return dict(map(_mount, MOUNTS.read_bytes().splitlines()))


def _mount(line: bytes) -> tuple[str, str]:
    """`36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/sda rw` (proc(5)) is `/mnt/a b`, of `ext4`."""
    before, _, after = line.partition(b" - ")
    place = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), before.split(b" ")[4])
    return os.fsdecode(place), os.fsdecode(after.split(b" ")[0])
