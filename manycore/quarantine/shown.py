"""What of an entry of the quarantine is shown, as JSON has it: to programs, and in Flower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manycore.protocol import brought, packing
from manycore.protocol.glimpse import glimpse
from manycore.quarantine.poison import Poison
from manycore.quarantine.refused import Refused

if TYPE_CHECKING:
    from manycore.quarantine.quarantine import Entry


def brief(entry: Entry) -> dict[str, Any]:
    """What a list shows."""
    names = ("id", "when", "kind", "queue", "reason")
    facts = {name: getattr(entry, name) for name in names} | {"retryable": entry.obstacle is None}
    if isinstance(entry, Poison):
        own = {"batch": entry.chunk.batch, "index": entry.chunk.first, "function": entry.name}
        return facts | own | {"cause": entry.cause, "executions": entry.executions}
    return facts | ({"size": entry.size, "claimed_id": entry.claimed_id} if isinstance(entry, Refused) else {})


def whole(entry: Entry) -> dict[str, Any]:
    """All that is known of it, in words."""
    facts = brief(entry) | {"obstacle": entry.obstacle}
    if isinstance(entry, Poison):
        return facts | {"arguments": arguments(entry), "trace": entry.trace}
    return facts | ({"sample": repr(entry.sample)} if isinstance(entry, Refused) else {})


def arguments(entry: Poison) -> str:
    """Their size, and plain values themselves. Others are not rebuilt: that would run code of the user's here."""
    size = f"{entry.payload_bytes:,} bytes"
    if entry.payload is None or packing.may_be_broken(entry.payload):
        return size
    held = packing.opened(entry.payload)
    own = brought.apart(entry.chunk, held, 0)
    return f"{glimpse(own[1] if own else held.values[0])} ({size})"
