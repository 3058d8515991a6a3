"""When the last entry of a folder came or went: whether it is worth while to list it anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

JUST_NOW_NS = 50_000_000
"""Several ticks of the kernel's clock: what changes in the same tick as a look could pass unseen."""


def moment_of(folder: str | Path) -> int:
    """When the last entry of a folder came or went (ns); 0 if there is no folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except (OSError, ValueError):
        return 0


def settled_moment_of(folder: str | Path) -> int:
    """The same, to be remembered by who lists it next; one that never comes again where it has just changed."""
    now = time.time_ns()
    moment = moment_of(folder)
    return moment if now - moment > JUST_NOW_NS else -1
