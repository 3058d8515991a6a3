"""How far a child may go without a word to Redis, and so how much a next run has to be careful with. A pure policy."""

from __future__ import annotations

import sys
from math import ceil

AHEAD_SECONDS = 2.0
"""More of it and a redelivery has more items to count one by one; less and a server that is away stops work sooner."""
FREE_SECONDS = 0.02
"""At first all may begin: a chunk of short items is done by then, and to hold any back costs as much as to run it."""


def items_ahead(done: int, elapsed_seconds: float) -> int:
    """How many items a child may have begun or be free to begin, at the pace of those `done` and the one that runs."""
    if elapsed_seconds < FREE_SECONDS:
        return sys.maxsize
    return max(1, ceil(AHEAD_SECONDS * (done + 1) / elapsed_seconds))
