"""Whether a value is worth sharing: at a glance, and while it is pickled."""

from __future__ import annotations

import pickle
from typing import Any

from manycore.protocol.packing import ATOMIC
from manycore.protocol.pickling import Sink

SHARED_BYTES = 1024 * 1024
"""A value that many items share is kept once if it is larger."""
CHEAP_BYTES = 64 * 1024
"""What of a shared keyword value has to be rebuilt, each time that it is: no more than this."""
_COPIED = (str, bytes)
_SMALL = ATOMIC - set(_COPIED)


def may_be_large(value: Any) -> bool:
    """Whether a value is one that could be worth sharing, at a glance."""
    kind = type(value)
    try:
        return kind not in _SMALL and (kind not in _COPIED or len(value) >= SHARED_BYTES)
    except Exception:  # a class of classes may have no hash, or one that raises
        return False


def sink_for(value: Any, limit: int | None, *, cheap: bool) -> Sink:
    """What to pickle it into; with `cheap`, what takes more than a moment to rebuild is a `PicklingError`."""
    kind = _Cheap if cheap and type(value) not in _COPIED else Sink
    return kind(limit, SHARED_BYTES)


class _Cheap(Sink):
    """Stops a pickle that becomes long: what has to be rebuilt so often should lie in buffers."""

    __slots__ = ()

    def write(self, part: Any) -> int:
        if self.size - sum(buffer.nbytes for buffer in self.buffers) > CHEAP_BYTES:
            raise pickle.PicklingError("it is long")
        return super().write(part)
