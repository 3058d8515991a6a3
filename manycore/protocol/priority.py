"""Which list of its queue a chunk waits in. Batches take turns; what has a low priority leaves its turn to all others.

A queue has four lists, those of kombu's priorities. Workers take from the first of them that holds something, but for
some times in which a later one comes first, so that what waits there need not wait for ever (`take.lua`).
"""

from __future__ import annotations

from typing import Literal, get_args

Priority = Literal["normal", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
PRIORITY_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""How kombu's Redis transport names the lists of a queue's priorities (a test holds it against kombu)."""
LATER, LOW = PRIORITY_SUFFIXES[-2:]
"""Of the lists that hold what is beyond a batch's share of every slot, and what has a low priority."""


def list_of(queue: str, priority: Priority, *, later: bool) -> str:
    """Where a chunk waits; `later`, if its batch has had its share of every slot."""
    return queue + (LOW if priority == "low" else LATER * later)


def lists_before(queue: str, priority: Priority) -> list[str]:
    """The lists of batches that a running chunk leaves its slot to: of those that have not had their share, and, if its
    own priority is low, of all others."""
    return [queue + suffix for suffix in (PRIORITY_SUFFIXES[:-1] if priority == "low" else PRIORITY_SUFFIXES[:1])]


def lists_beside(queue: str, priority: Priority) -> list[str]:
    """The lists that an idle slot would rather take from than have a part of a running chunk; `lists_before` first."""
    return [queue + suffix for suffix in (PRIORITY_SUFFIXES if priority == "low" else PRIORITY_SUFFIXES[:-1])]
