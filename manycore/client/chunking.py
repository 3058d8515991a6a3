"""How many items go into one message. Pure policies; nothing here waits or sends.

The client cuts coarse chunks and knows no costs; workers split them when a slot would otherwise fall idle: lazy binary
splitting (Tzannes, Caragea, Barua, Vishkin, PPoPP 2010). So a chunk has only to be large enough that its message
(about 1.5 ms of CPU on all sides) is small beside it, and small enough for memory.
"""

from __future__ import annotations

CHUNKS_PER_SLOT = 4
"""More make the splitting at the end cheaper, fewer make the messages cheaper."""
SMALL_SHARE = 2_000
"""An input of at most so many items for each slot goes as one chunk for each. A message costs as much as a thousand
short items, and whether they are short nobody knows yet; long ones are split while they run."""
MAX_CHUNK_ITEMS = 65_536
"""Bounds the memory of a child and of a client for tiny items."""
MAX_CHUNK_BYTES = 512 * 1024
"""A chunk of several items stays below; a single larger item travels alone."""
WINDOW_BYTES = 64 * 1024 * 1024
"""Bounds what the unfinished chunks of one batch hold; one for each slot, and one more, is always let through."""
PULLED_CHUNK_SECONDS = 0.25
"""A lazy input's chunks hold about this much work: it bounds how far ahead of its consumer it is pulled."""


def window_chunks(slots: int) -> int:
    """How many chunks of one batch may be unfinished at a time."""
    return max(1, slots) * CHUNKS_PER_SLOT + 2


def chunk_items(total: int, slots: int, bytes_per_item: float = 0.0) -> int:
    """How many items each chunk of an input of `total` items takes: one or a few chunks for each slot, all alike."""
    share = -(-total // max(1, slots))
    if share > SMALL_SHARE:
        share = -(-share // CHUNKS_PER_SLOT)
    return max(1, min(share, bounded_items(bytes_per_item)))


def pulled_items(previous: int, seconds_per_item: float | None, bytes_per_item: float = 0.0) -> int:
    """How many items the next chunk of a lazy input takes at most: one at first, then at most twice the `previous`.

    `seconds_per_item` is what the items took so far, None while no outcome has come back.
    """
    if seconds_per_item is None:
        return 1
    wanted = PULLED_CHUNK_SECONDS / max(seconds_per_item, 1e-9)
    return max(1, min(int(min(wanted, MAX_CHUNK_ITEMS)), max(1, previous) * 2, bounded_items(bytes_per_item)))


def bounded_items(bytes_per_item: float) -> int:
    """How many items of this size fit into one chunk."""
    if bytes_per_item <= 0:
        return MAX_CHUNK_ITEMS
    return max(1, min(MAX_CHUNK_ITEMS, int(MAX_CHUNK_BYTES / bytes_per_item)))
