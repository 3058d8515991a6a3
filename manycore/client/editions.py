"""Says when a task's module differs between this client and the workers: by name, it is theirs that runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from manycore.errors import CodeDiffers
from manycore.protocol.edition import Edition, edition_of
from manycore.protocol.packing import module_of
from manycore.protocol.roster import Roster


class Editions:
    """Of one session. `strict` makes an error of it."""

    def __init__(self, roster: Roster, *, strict: bool) -> None:
        self._roster = roster
        self._strict = strict
        self._told: set[tuple[Edition, Edition]] = set()

    def check(self, task: str, function: Callable[..., Any] | str, *, briefly: bool) -> None:
        """Warn of `CodeDiffers`, or raise it; `briefly` warns once only, as for calls of which there are many."""
        module = task.rpartition(".")[0] if isinstance(function, str) else module_of(function)
        ours = edition_of(module)
        theirs = self._roster.edition(module, other_than=ours) if ours else None
        if ours is None or theirs is None:
            return
        found = CodeDiffers(task, theirs.digest, theirs.file, ours.digest, ours.file)
        if self._strict:
            raise found
        if not briefly or (ours, theirs) not in self._told:
            self._told.add((ours, theirs))
            warnings.warn(found, stacklevel=_callers_level())


def _callers_level() -> int:
    """How far above `warnings.warn` the user's own line is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("manycore."):
        level, frame = level + 1, frame.f_back
    return level
