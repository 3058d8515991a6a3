"""How many of its items a child gives away: lazy binary splitting (see `client.chunking`). A pure policy."""

from __future__ import annotations

MIN_SPLIT_SECONDS = 0.004
"""Splitting costs a message: less remaining work than this is not worth one."""


def items_to_give(pending: int, done: int, elapsed_seconds: float) -> int:
    """How many of its `pending` items a child publishes as a new chunk, seeing that no chunk waits in the queue.

    Half of them, if what is pending looks like more work than a message costs. `done` items and the one that is
    running took `elapsed_seconds`.
    """
    if pending < 1:
        return 0
    seconds_per_item = elapsed_seconds / (done + 1)
    return (pending + 1) // 2 if pending * seconds_per_item >= MIN_SPLIT_SECONDS else 0
