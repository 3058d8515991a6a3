"""`worker_state()`: what the initializer of an item's batch made in the process that runs the item.

One object for each process and initializer, shared by all items of its batches there, on the `io` fleet by those of
several threads at once. The worker sets it; this file knows nothing else of workers.
"""

from __future__ import annotations

from typing import Any

from manycore.errors import NoWorkerState

_NOTHING = object()
_held: Any = _NOTHING


def worker_state() -> Any:
    """What the initializer returned (`Cluster(initializer=...)`, `batch(..., initializer=...)`), inside of an item.

    Raises `NoWorkerState` where no item with an initializer runs.
    """
    if _held is _NOTHING:
        raise NoWorkerState
    return _held


def hold(value: Any = _NOTHING) -> None:
    """Let `worker_state` give this value in this process, or nothing any more. For workers."""
    global _held
    _held = value
