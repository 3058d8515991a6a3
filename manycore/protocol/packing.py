"""Turns items, results and functions into bytes and back. It trusts its input: `signing` checks it first.

Each item is pickled by itself, unless all of them are plain immutable values: so items never share a mutable object,
however they happen to be chunked, and each can be rebuilt in its own turn. Exceptions travel in `failure`.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from manycore.errors import (
    ConnectionFailed,
    ItemTimeout,
    ManycoreError,
    NotPicklable,
    NotUnpicklable,
    ObjectGone,
    ObjectStoreFull,
    PayloadTooLarge,
    RemoteTraceback,
    VersionMismatch,
)
from manycore.protocol.failure import traceback_text
from manycore.protocol.pickling import dumps, reason_of
from manycore.protocol.refs import Ref

ATOMIC = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Types of plain, immutable values: their pickling runs nobody's code, and they need not be pickled one by one."""
_TOGETHER, _SEPARATE = b"T", b"S"
OWN_FRAMES = __name__.rpartition(".")[0]
SHORT_BYTES = 32
"""What a value of a fixed size takes at most: so many of these go together as there are."""
HELD_PER_BYTE = 32
"""So many bytes in shared memory count as one in a message: nobody copies them."""


class Pickled:
    """A value that was pickled already, where it came to be; it is packed as it is.

    `refs` are the large objects that it names; `held_bytes` of it lie beside, in a home.
    """

    __slots__ = ("blob", "held_bytes", "refs")

    def __init__(self, blob: bytes, refs: Sequence[Ref[Any]] = (), held_bytes: int = 0) -> None:
        self.blob = blob
        self.refs = refs
        self.held_bytes = held_bytes

    @property
    def weight(self) -> int:
        """Of what travels, and a little of what does not: that a chunk names, it holds until it is answered."""
        return len(self.blob) + self.held_bytes // HELD_PER_BYTE


class Opened(NamedTuple):
    """A packed body as it came: plain values, or (`separate`) each as its own pickle, not yet rebuilt."""

    values: list[Any]
    separate: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive values, packed: those at the positions `[start, stop)` of what was given to `pack_runs`.

    `refs` are the large objects that they name; `held_bytes` lie beside.
    """

    start: int
    stop: int
    body: bytes
    refs: tuple[Ref[Any], ...] = ()
    held_bytes: int = 0


def pack(values: Sequence[Any]) -> bytes:
    """Pack values of any kind into one body. Raises `NotPicklable` if one of them cannot be pickled."""
    if set(map(type, values)) <= ATOMIC:
        return _TOGETHER + pickle.dumps(list(values), protocol=5)
    return _SEPARATE + pickle.dumps([dumps(value) for value in values], protocol=5)


def pack_runs(
    values: Sequence[Any],
    what: str,
    *,
    max_bytes: int,
    max_item_bytes: int,
    rows: bool = False,
    beside: Mapping[int, int] = MappingProxyType({}),
    pickled: Callable[[Any], Pickled] | None = None,
) -> tuple[list[Run], dict[int, ManycoreError]]:
    """Pack values into runs of about `max_bytes` at most, a larger value alone.

    Gives the runs, and the errors of the positions that cannot travel, as of `dumps`. With `rows`, the values are
    tuples; those of plain values keep the fast form. `beside` has the bytes that travel with some of them. `pickled`
    takes the place of `dumps`; a value for which it finds no room is the last one that is looked at.
    """
    pickled = pickled or (lambda value: Pickled(dumps(value, what, max_item_bytes)))
    try:
        together = _small(values, min(max_bytes, max_item_bytes) - sum(beside.values()), rows=rows)
    except Exception:  # a class of classes may have no hash, or one that raises: one by one, that is one item's error
        together = None
    if together is not None:
        return [Run(0, len(values), together)], {}
    runs: list[Run] = []
    errors: dict[int, ManycoreError] = {}
    group: list[Pickled] = []
    size = 0
    for position, value in enumerate(values):
        try:
            held = value if type(value) is Pickled else pickled(value)
        except (NotPicklable, PayloadTooLarge, VersionMismatch, ObjectStoreFull) as exc:
            errors[position] = _apart(exc)
            if isinstance(exc, ObjectStoreFull):
                values = values[:position]
                break
        weight = 0 if position in errors else held.weight + beside.get(position, 0)
        if group and (position in errors or size + weight > max_bytes):
            runs.append(_separate(group, position))
            group, size = [], 0
        if position not in errors:
            group.append(held)
            size += weight
    if group:
        runs.append(_separate(group, len(values)))
    return runs, errors


def _apart(error: ManycoreError) -> ManycoreError:
    """The error without the frames that it and its cause were raised in: whoever keeps it would keep, with them, ours,
    and so the values and the large objects of other items."""
    if error.__cause__ is not None:
        told = traceback_text(error.__cause__, OWN_FRAMES)
        error.__context__ = error.__cause__ = RemoteTraceback(told)
    return error.with_traceback(None)


def _separate(group: list[Pickled], stop: int) -> Run:
    body = _SEPARATE + pickle.dumps([held.blob for held in group], protocol=5)
    refs = tuple(ref for held in group for ref in held.refs)
    return Run(stop - len(group), stop, body, refs, sum(held.held_bytes for held in group))


def _small(values: Sequence[Any], max_bytes: int, *, rows: bool) -> bytes | None:
    """All values together, if they (with `rows`, those in plain tuples) are plain and too short to be cut apart."""
    if type(values) is range and not rows and _is_short(values):
        return _TOGETHER + pickle.dumps(values, protocol=5)  # as itself: whoever opens it makes the numbers
    if rows and set(map(type, values)) - {tuple}:
        return None  # a named tuple needs cloudpickle's care, an iterator would be used up here
    held = list(chain.from_iterable(values)) if rows else values
    kinds = set(map(type, held))
    if not kinds <= ATOMIC or sum(_text_bytes(kind, held, alone=len(kinds) == 1) for kind in kinds) > max_bytes:
        return None
    body = _TOGETHER + pickle.dumps(list(values), protocol=5)
    return body if len(body) <= max_bytes + SHORT_BYTES * len(held) else None  # an integer can be of any size


def _is_short(numbers: range) -> bool:
    """Whether none of them is larger than it looks like: an integer can be of any size."""
    return not numbers or max(abs(numbers[0]), abs(numbers[-1])) < 1 << 63


def _text_bytes(kind: type, values: Sequence[Any], *, alone: bool) -> int:
    """The bytes of the texts of this kind: those are not copied to see how long they are."""
    if kind not in (str, bytes):
        return 0
    return sum(map(len, values if alone else [value for value in values if type(value) is kind]))


def opened(body: bytes | memoryview) -> Opened:
    """The values of a packed body, none of them rebuilt."""
    values = pickle.loads(memoryview(body)[1:])
    return Opened(list(values) if type(values) is range else values, may_be_broken(body))


def rebuilt(value: bytes, what: str = "The value", where: str = "this process") -> Any:
    """A value out of its own pickle. Raises `NotUnpicklable`, saying `what` and `where`, or `VersionMismatch`.

    `MemoryError`, and what keeps an object from being fetched, are raised as they are.
    """
    try:
        return pickle.loads(value)
    except (KeyboardInterrupt, ItemTimeout, MemoryError, VersionMismatch, ObjectGone, ConnectionFailed):
        raise
    except BaseException as exc:  # a user's class may raise anything while it is rebuilt
        raise NotUnpicklable(what, where, reason_of(exc)) from exc


def unpack(body: bytes | memoryview, what: str = "The value", where: str = "this process") -> list[Any]:
    """The values of a packed body. Raises `NotUnpicklable` if one of them cannot be rebuilt."""
    values, separate = opened(body)
    return [rebuilt(value, what, where) for value in values] if separate else values


def repacked(held: Opened, start: int, stop: int, without: Sequence[int] = ()) -> bytes:
    """The values at the positions `[start, stop)` as a body of their own, with None for `without`; none is rebuilt."""
    values = held.values[start:stop]
    for position in without:
        values[position - start] = None
    return (_SEPARATE if held.separate else _TOGETHER) + pickle.dumps(values, protocol=5)


def may_be_broken(body: bytes | memoryview) -> bool:
    """Whether rebuilding a value of this body can fail; plain values always can be rebuilt."""
    return body[:1] == _SEPARATE


def name_of(function: Callable[..., Any] | str) -> str:
    """What a function is called in messages, in Flower and in logs."""
    if isinstance(function, str):
        return str.__str__(function)  # a `str` and nothing else, which any worker can read
    inner = function.func if isinstance(function, partial) else function
    return f"{module_of(function)}.{_text_of(inner, '__qualname__') or type(inner).__qualname__}".lstrip(".")


def module_of(function: Callable[..., Any] | str) -> str:
    """The module of a function; of a callable object, that of its class."""
    return _text_of(function.func if isinstance(function, partial) else function, "__module__")


def standing(module: str, name: str) -> Any:
    """What stands under this name in a module that is loaded; None if nothing does. Raises what the module raises."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _text_of(function: object, name: str) -> str:
    """An attribute that is a text, empty if there is none: a proxy's own `__getattr__` may raise or give anything."""
    try:
        found = getattr(function, name, None)
    except Exception:
        return ""
    return found if isinstance(found, str) else ""
