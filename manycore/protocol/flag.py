"""What workers and clients of a batch are to meet, whoever sets it: that it is stopped, or deleted.

A full server takes it too: to end what fills it is the way to room.
"""

from __future__ import annotations

from typing import Any

from manycore.protocol import keys
from manycore.protocol.script import Script

SCRIPT = Script(__package__, "flag")


def set_flag(client: Any, batch: str, field: str, value: bytes, ttl_seconds: int) -> None:
    """Set it for so long at least. Raises redis-py's errors."""
    SCRIPT.run(client, [keys.batch(batch)], [field, value, ttl_seconds])
