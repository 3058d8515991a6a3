"""What a chunk came to, in words: what Flower shows as its result, and in which state that leaves it."""

from __future__ import annotations

import re
from typing import Any, Literal

OPEN, ACKNOWLEDGED, KEPT = range(3)
"""What becomes of a delivery with the last outcomes: it is to be acknowledged still, it was, or its slot stays with it.
"""
REFUSED = "refused: "
DONE = " "
"""How the summary ends of a chunk whose message its child has acknowledged. All that Celery tells a parent of a call
that went well is this text."""
_COUNT = re.compile(r"(\d+) (ok|failed|cancelled)")


class Summary(str):
    """`500 ok`, `498 ok, 2 failed`, `refused: ...`; its repr has no quotes."""

    __slots__ = ()

    @classmethod
    def of(cls, text: str, *, acknowledged: bool) -> Summary:
        """Of a chunk whose message is acknowledged already, or not."""
        return cls(text.rstrip() + DONE * acknowledged)

    def __repr__(self) -> str:
        return str(self)


def is_acknowledged(text: str) -> bool:
    """Whether this text, quoted or not, is the summary of such a chunk."""
    return text.strip("'\"").endswith(DONE)


def ending(text: str) -> Literal["task-succeeded", "task-failed", "task-revoked"]:
    """Celery's event for a chunk with this summary: one failed item is a failure, or nobody would look at it."""
    if text.startswith(REFUSED):
        return "task-failed"
    counts = {what: int(count) for count, what in _COUNT.findall(text)}
    if counts.get("failed"):
        return "task-failed"
    return "task-revoked" if counts.get("cancelled") and not counts.get("ok") else "task-succeeded"


def as_it_ended(summary: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Celery's event for a chunk that came to this, and what it says."""
    type = ending(summary)
    more = {"exception": summary, "traceback": ""} if type == "task-failed" else {}
    return type, fields | more | {"result": summary}
