"""What was put aside: refused messages, and items that killed their workers. `Quarantine` is the way in."""

from __future__ import annotations

from manycore.quarantine.quarantine import Entry, Quarantine

__all__ = ["Entry", "Quarantine"]
