"""What `manycore.call` runs where its chunk names no function: the one that each item brings (`protocol/brought`).

It is rebuilt in the item's turn: whatever comes of that is the item's outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from manycore.errors import SettingsError
from manycore.protocol.broker import FUNCTION_TASK
from manycore.protocol.brought import is_brought
from manycore.protocol.packing import rebuilt
from manycore.protocol.python import here, shown

if TYPE_CHECKING:
    from manycore.worker.context import WorkerContext


def runner(context: WorkerContext) -> Callable[..., Any]:
    """The body of that task."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_brought(args):
            raise SettingsError(f"{FUNCTION_TASK} runs shipped functions. Call it through manycore.Cluster.")
        function = rebuilt(args[1], f"The function {args[0]}", f"worker {context.name} ({shown(here())})")
        return function(*args[2:], **kwargs)

    return call
