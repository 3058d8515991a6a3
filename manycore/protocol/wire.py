"""The heads of what crosses the wire: plain fields under a version, so that old and new programs run side by side.

A reader ignores fields that it does not know, and gives one that is missing its default. So a version may add a field,
as long as a reader that does not know it still does right. A version of which that is not true says so in its heads
(`reader`): then whoever is older refuses the message, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from manycore.errors import MessageRefused

VERSION = 1
"""Of the heads that are written here. It grows with every field."""
OLDEST_READER = 1
"""The lowest version that reads these heads and does right. It grows to `VERSION` with a field that must be known."""
T = TypeVar("T")


def written(held: dict[str, Any]) -> dict[str, Any]:
    """These fields as a head of this version."""
    return {"version": VERSION, "reader": OLDEST_READER, **held}


def read(head: Any) -> dict[str, Any]:
    """The fields of a head, whatever its version. Raises `MessageRefused` for one that must not be read here."""
    if not isinstance(head, dict):
        raise MessageRefused("its head is of a form that is not known here: its sender has another version of manycore")
    needed = head.get("reader", 0)
    if not isinstance(needed, int) or needed > VERSION:
        raise MessageRefused(
            f"its sender has a newer version of manycore: it needs wire version {needed}, here is {VERSION}. "
            "Upgrade this side"
        )
    return head


def record(kind: type[T], held: dict[str, Any], **ready: Any) -> T:
    """A dataclass out of a head's fields, those that are `ready` aside."""
    try:
        known: Iterable[Field[Any]] = fields(kind)  # type: ignore[arg-type]
        found = {entry.name: held[entry.name] for entry in known if entry.name not in ready and _wanted(entry, held)}
        return kind(**found, **ready)
    except (KeyError, TypeError, ValueError) as exc:
        raise MessageRefused(f"its head cannot be read: {type(exc).__name__}: {exc}") from exc


def _wanted(entry: Field[Any], held: dict[str, Any]) -> bool:
    """Whether a field is there, or must be."""
    return entry.name in held or (entry.default is MISSING and entry.default_factory is MISSING)
