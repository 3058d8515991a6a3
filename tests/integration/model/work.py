"""What the items of the model do. Workers import this file: it knows nothing of the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def same(item: Any) -> Any:
    return item


def named(item: Any, *, before: str = "") -> Any:
    return before + type(item).__name__, item


def picky(item: Any) -> Any:
    if type(item) in (str, int, list):
        raise LookupError(item)
    return [item]


def both(one: Any, other: Any = None) -> Any:
    return one, other


def stamped(stamp: int) -> Callable[[Any], Any]:
    """A function that has no name elsewhere, and holds something."""
    return lambda item: (stamp, item)


def fail_once(item: Any, *, folder: str) -> Any:
    """Fails the first time that it meets an item; the folder remembers."""
    mark = Path(folder) / str(item)
    if not mark.exists():
        mark.touch()
        raise OSError("the first time")
    return -item
