"""The caller's own modules as they are now, on their way to the workers: `Code` says which, `CodeShipper` sends them.

What is installed (the standard library, site-packages) is taken for there; everything else that this process has
imported, or could import by name from what it has, goes along as source. Nothing is executed to find out. A file is
read again only when it changes: an edit is seen by the next batch, and without one nothing is read.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from manycore.client.datafiles import find_data
from manycore.client.edits import FRESH_SECONDS, Edits, Files
from manycore.client.found import Found
from manycore.client.modules import find_modules, renewed
from manycore.errors import CodeTooLarge, SettingsError
from manycore.protocol import archive
from manycore.protocol.archive import Archive
from manycore.protocol.signing import Keyring

logger = logging.getLogger(__name__)
LARGEST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Code:
    """Which files travel beside the modules: `include` and `exclude` are globs, relative to the modules' roots.

    `Code(include=["data/*.json"])` sends those files too; `exclude=["tests/*"]` keeps modules and data at home. What
    looks like a secret, version control, virtual environments and caches never travel, whatever the globs say.
    """

    include: tuple[str, ...] | list[str] = ()
    exclude: tuple[str, ...] | list[str] = ()

    def __post_init__(self) -> None:
        for name in ("include", "exclude"):
            globs = getattr(self, name)
            if isinstance(globs, str) or not all(isinstance(glob, str) for glob in globs):
                raise SettingsError(f'{name}={globs!r:.80}: give a list of globs, like {name}=["data/*.json"].')

    @classmethod
    def of(cls, value: Code | str) -> Code | None:
        """Read `Cluster(code=...)`: "auto", "off" (None), or a `Code`. Raises `SettingsError` for anything else."""
        if isinstance(value, cls):
            return value
        if value == "auto":
            return cls()
        if value == "off":
            return None
        raise SettingsError(f'code={value!r:.80}: use "auto", "off", or manycore.Code(include=[...], exclude=[...]).')


class CodeShipper:
    """Of one session. Threads may share it."""

    def __init__(self, keyring: Keyring, code: Code | None) -> None:
        self._keyring = keyring
        self._code = code
        self._lock = threading.Lock()
        self._found: Found | None = None
        self._archive: Archive | None = None
        self._looked_at = float("-inf")
        self._edits = Edits()
        self._signs = _signs()
        self._mentioned: frozenset[str] = frozenset()

    @property
    def files(self) -> Files:
        """The files of the last archive: the path there -> the file here, with its stamp."""
        found = self._found
        return found.files if found is not None else {}

    def current(self, *, briefly: bool = False) -> Archive | None:
        """The archive of the modules as they are, None if there are none. Raises `CodeTooLarge`.

        `briefly` looks for edits alone where a whole look was made a moment ago: `submit` comes here often.
        """
        if self._code is None:
            return None
        with self._lock:
            if not (briefly and self._is_fresh()):
                self._signs = _signs()  # before: what is imported during the look may have been missed
                self._look(self._code)
                self._looked_at = monotonic()
            return self._archive

    def close(self) -> None:
        """Nothing more is sent: let the kernel watch no more for edits."""
        if self._lock.acquire(blocking=False):  # else somebody looks: below this, if a signal's handler closes
            try:
                self._edits.close()
            finally:
                self._lock.release()

    def mention(self, things: Iterable[Any]) -> None:
        """Let go along what these functions import, and what those that they refer to do."""
        if self._code is None:
            return
        from manycore.client.mentions import mentions_of  # here, as it needs cloudpickle

        try:
            names = mentions_of(things)
        except Exception as exc:  # they may refer to anything
            logger.debug("What a function imports is not known: %r", exc)
            return
        with self._lock:
            if not names <= self._mentioned:
                self._mentioned |= names
                self._looked_at = float("-inf")
                self._found = replace(self._found, process=None) if self._found is not None else None

    def _is_fresh(self) -> bool:
        found = self._found
        if found is None or monotonic() - self._looked_at >= FRESH_SECONDS or self._signs != _signs():
            return False
        return not self._edits.in_any_of(found.files)

    def _look(self, code: Code) -> None:
        from manycore.client.outsiders import send_by_value

        known = self._found
        now = renewed(known) if known is not None and not code.include else None
        if now is not None and not self._edits.in_any_of(now.files):
            self._found = now
            return
        found = find_modules(code.exclude, self._mentioned)
        send_by_value()
        found = found.with_data(find_data(found.roots, code.include, code.exclude))
        if known is not None and found.files == known.files:
            self._found = replace(found, files=known.files)
            return
        files = found.read()
        check_size({path: len(content) for path, content in files.items()})
        self._archive = Archive.of(self._keyring, files) if files else None
        self._found = found


def _signs() -> tuple[int, list[str]]:
    """What an import changes, and a new place to import from: `Found.holds` looks closer, and takes longer."""
    return len(sys.modules), sys.path[:]


def check_size(sizes: dict[str, int]) -> None:
    """Raise `CodeTooLarge` with the largest files when all of them are more than an archive may hold."""
    total = sum(sizes.values())
    if total > archive.MAX_BYTES or len(sizes) > archive.MAX_FILES:
        largest = sorted(sizes.items(), key=lambda item: item[1], reverse=True)[:LARGEST_SHOWN]
        shown = ", ".join(f"{path} ({size:,})" for path, size in largest)
        raise CodeTooLarge(len(sizes), total, archive.MAX_BYTES, shown)
