"""A clock that is not the others': `time.time()` of every Python process of a host is off by what a file says.

Python imports this module at start, since the host's PYTHONPATH begins with this folder. The file is mapped, so the
driver moves the clock while the host runs. Only epoch time moves; monotonic time does not, as on any machine.
"""

from __future__ import annotations

import mmap
import os
import time
from struct import Struct

CLOCK = "CHAOS_CLOCK"
"""The environment variable that names the file: seconds ahead, as a double."""
SECONDS = Struct("d")


def shift(path: str) -> None:
    """Put `time.time` and `time.time_ns` off by what the file says, from now on."""
    with open(path, "rb") as file:
        ahead = mmap.mmap(file.fileno(), SECONDS.size, access=mmap.ACCESS_READ)
    right, right_ns = time.time, time.time_ns

    def shifted() -> float:
        return right() + float(SECONDS.unpack_from(ahead)[0])

    def shifted_ns() -> int:
        return right_ns() + int(SECONDS.unpack_from(ahead)[0] * 1e9)

    time.time, time.time_ns = shifted, shifted_ns


if CLOCK in os.environ:
    shift(os.environ[CLOCK])
