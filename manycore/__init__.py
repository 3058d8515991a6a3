"""manycore runs CPU-bound Python on every core of every machine you have.

Names are loaded when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# At once, unlike the others: its module has its name, and would take its place here when it is imported.
from manycore.task import task

if TYPE_CHECKING:
    from manycore.client.batch import Batch
    from manycore.client.cluster import Cluster
    from manycore.client.code import Code
    from manycore.client.future import Future
    from manycore.client.outcome import Outcome
    from manycore.client.progress import Progress
    from manycore.protocol.refs import Ref
    from manycore.protocol.retry import Backoff
    from manycore.state import worker_state

__version__ = "0.1.0"
__all__ = ["Backoff", "Batch", "Cluster", "Code", "Future", "Outcome", "Progress", "Ref", "task", "worker_state"]

_HOMES = {
    "Backoff": "protocol.retry",
    "Batch": "client.batch",
    "Cluster": "client.cluster",
    "Code": "client.code",
    "Future": "client.future",
    "Outcome": "client.outcome",
    "Progress": "client.progress",
    "Ref": "protocol.refs",
    "worker_state": "state",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except AttributeError as exc:  # a file beside the program that is named like one of Python's own modules
        raise ImportError(f"{name} cannot be imported: {exc}") from exc  # else `from ... import` would hide why
    globals()[name] = value
    return value
