"""What waits in a queue, whichever of its lists it is in."""

from __future__ import annotations

from typing import Any

from manycore.protocol.priority import PRIORITY_SUFFIXES


def lists_of(queue: str) -> list[str]:
    """Those that workers look into, the first one first."""
    return [queue + suffix for suffix in PRIORITY_SUFFIXES]


def waiting(client: Any, queue: str) -> int:
    """How many messages there are."""
    return sum(map(client.llen, lists_of(queue)))


def lose(client: Any, queue: str, count: int) -> None:
    """Take so many messages away, those first that would come last."""
    for _ in range(count):
        assert any(client.lpop(each) for each in reversed(lists_of(queue)))


def messages(client: Any) -> int:
    """How many have gone through queues so far."""
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_lpush", {"calls": 0})["calls"])
