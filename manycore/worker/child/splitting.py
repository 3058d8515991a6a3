"""When a child looks whether the queue is empty, and how many of its items it then gives away: lazy binary splitting
(see `client.chunking`); and when it leaves its slot to another batch. Policies: nothing here waits or sends."""

from __future__ import annotations

from random import random

MIN_SPLIT_SECONDS = 0.004
"""Splitting costs a message: less remaining work than this is not worth one."""
LOOKING_SLOTS = 16
"""Of so many neighbours on one worker each looks at every tick; of more, each less often: one that sees it is enough,
and 128 would keep a core busy with looking."""
TURN_SECONDS = 0.2
"""So long a chunk has its slot before it leaves it to a batch that has had none: to change costs some 5 ms."""
CALM = 6
"""So many times less often where every slot of this worker has work: then the looking is for other workers' alone."""


def seconds_to_look(tick_seconds: float, slots: int, *, idle: bool) -> float:
    """How long a child does not look after it has looked, or begun; `idle`: whether a slot of its worker may be."""
    crowd = slots / LOOKING_SLOTS
    return tick_seconds * max(0.0, crowd - 1 if idle else CALM * max(1.0, crowd) - 1)


def is_anothers_turn(others: int, slots: int, elapsed_seconds: float) -> bool:
    """Whether a run leaves its slot to one of so many `others` that wait: each of its neighbours asks itself, too."""
    return elapsed_seconds >= TURN_SECONDS and random() * slots < others


def items_to_give(pending: int, done: int, elapsed_seconds: float, seconds_at_one: float = 0.0) -> int:
    """How many of its `pending` items a child publishes as a new chunk, seeing that no chunk waits in the queue.

    Half of them, if what is pending looks like more work than a message costs.
    """
    if pending < 1:
        return 0
    left = seconds_left(pending, done, elapsed_seconds, seconds_at_one)
    return (pending + 1) // 2 if left >= MIN_SPLIT_SECONDS else 0


def seconds_left(pending: int, done: int, elapsed_seconds: float, seconds_at_one: float = 0.0) -> float:
    """How long `pending` items will take, as `done` ones and the one that is running took `elapsed_seconds`; or as that
    one alone, which has taken `seconds_at_one`: long ones may come after many short ones."""
    return pending * max(elapsed_seconds / (done + 1), seconds_at_one)
