"""Whether files have been edited since they were read: each is looked at, or, of many looks, the kernel is asked.

To look at a file takes 3 us, and more once other programs have had the processor: with hundreds of modules, most of
what a call of `submit` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from manycore.client.found import Stamp, stamp_of
from manycore.client.watch import Watch

FRESH_SECONDS = 1.0
"""So long what the kernel says is enough, and a whole look serves `submit`: not all that happens is told."""
MANY_FILES = 8
"""Fewer are looked at as fast."""
MANY_LOOKS = 20
"""After so many looks a watch is set up, which costs as much as several; after one that was ended by an edit, twice."""

Files = Mapping[str, tuple[str, Stamp]]
"""The path in the archive -> the file here, with its stamp."""


class Edits:
    """Of one set of files at a time; for one thread at a time."""

    def __init__(self) -> None:
        self._files: Files = {}
        self._watch: Watch | None = None
        self._looked_at = float("-inf")
        self._looks, self._enough = 0, MANY_LOOKS

    def in_any_of(self, files: Files) -> bool:
        """Whether one of them has changed, or gone, since it got its stamp."""
        if files is not self._files:
            self.close()
            self._files = files
        if self._nothing_is_told():
            return False
        self._looked_at = monotonic()
        return any(stamp_of(file) != stamp for file, stamp in files.values())

    def close(self) -> None:
        """Watch no more. What is asked next begins anew."""
        if self._watch is not None:
            self._watch.close()
        self._watch, self._looks = None, 0

    def _nothing_is_told(self) -> bool:
        """Whether the files were all looked at a moment ago, and nothing has happened to one since."""
        if self._watch is not None:
            if self._watch.is_quiet():
                return monotonic() - self._looked_at < FRESH_SECONDS
            self.close()  # it may not be told of what comes next: a link can be in the place of a file now
            self._enough *= 2
        self._looks += 1
        if self._looks > self._enough and len(self._files) >= MANY_FILES:
            self._watch = Watch.of(file for file, _ in self._files.values())  # before the look: none is missed
            self._looks = 0
            self._enough *= 1 if self._watch is not None else 2
        return False
