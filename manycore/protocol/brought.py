"""Items that bring their function along, as calls of many functions do: their first arguments are its name and pickle.

Such a chunk names no function; its task rebuilds each item's in that item's turn (`worker/child/along`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from manycore.protocol.broker import FUNCTION_TASK
from manycore.protocol.message import Chunk
from manycore.protocol.packing import Opened

Brought: TypeAlias = tuple[str, bytes]
"""The name of a function, and its pickle."""


def is_brought(args: tuple[Any, ...]) -> bool:
    """Whether the arguments of a call begin with its function."""
    return len(args) >= 2 and type(args[0]) is str and type(args[1]) is bytes


def brings(chunk: Chunk) -> bool:
    """Whether the items of a chunk do so."""
    return chunk.task == FUNCTION_TASK and chunk.function is None


def apart(chunk: Chunk, held: Opened, position: int) -> tuple[str, tuple[Any, ...]] | None:
    """The name of an item's function, and the call's own arguments: of plain values, for no others are rebuilt."""
    if held.separate or not brings(chunk):
        return None
    args: tuple[Any, ...] = held.values[position]
    return (args[0], args[2:]) if is_brought(args) else None
