"""Whether somebody holds the lock of a file, or of a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def is_locked(place: Path) -> bool:
    """As systemd's cleaner asks before it looks into a folder."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
