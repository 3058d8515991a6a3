"""`python -m workers.probe`: exits with 0 if the worker in this container has shown a pulse lately.

It reads the age of one file: no connection, no Celery, some 20 ms of a CPU.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from time import time

PULSE_FILE = Path(os.environ.get("MANYCORE_PULSE_FILE") or Path(tempfile.gettempdir()) / "manycore-pulse")
PULSE_SECONDS = 2.0
STALE_SECONDS = 30.0
"""A busy machine may hold a pulse up for seconds; a hung event loop never comes back."""


def age(path: Path = PULSE_FILE) -> float:
    """Seconds since the last pulse; infinite if there was none."""
    try:
        return time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def main() -> int:
    """0 for a worker that lives, 1 for one that does not, which it says."""
    seconds = age()
    if seconds < STALE_SECONDS:
        return 0
    print(f"No pulse for {seconds:.0f} s at {PULSE_FILE}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
