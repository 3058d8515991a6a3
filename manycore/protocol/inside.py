"""Tells whether a process runs items, of which fleet and of which cluster: its own work must not wait for that one.

An environment variable, so that the programs that an item starts know it too. A cluster is known by its signing keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from manycore.errors import NestedWork

VARIABLE = "MANYCORE_INSIDE"


def mark(queue: str, key_ids: Iterable[str]) -> None:
    """Say that this process and those that it starts run items of this fleet."""
    os.environ[VARIABLE] = f"{queue}@{','.join(key_ids)}"


def check(queue: str, key_ids: Iterable[str]) -> None:
    """Raise `NestedWork` where an item submits to the fleet that it runs on itself."""
    fleet, _, keys = os.environ.get(VARIABLE, "").rpartition("@")
    if fleet == queue and set(keys.split(",")) & set(key_ids):
        raise NestedWork(queue)
