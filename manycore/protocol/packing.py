"""Turns items, results and functions into bytes and back. It trusts its input: `codec` checks it first.

Each item is pickled by itself, unless all of them are plain immutable values: so items never share a mutable object,
however they happen to be chunked, and each can be rebuilt in its own turn. Exceptions travel in `failure`.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from manycore.errors import ItemTimeout, ManycoreError, NotPicklable, NotUnpicklable, PayloadTooLarge, VersionMismatch
from manycore.protocol.python import Python, here, shown

ATOMIC = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Types of plain, immutable values: their pickling runs nobody's code, and they need not be pickled one by one."""
_TOGETHER, _SEPARATE = b"T", b"S"
PICKLING_ERRORS = (
    pickle.PicklingError,
    TypeError,
    AttributeError,
    ValueError,
    RecursionError,
    NotImplementedError,
    MemoryError,
)
"""What pickle and cloudpickle raise for an object that has no pickled form; objects may raise others of their own."""


MAX_TEXT = 10_000
"""Characters of an exception's text that are shown where the exception itself cannot be."""


class Pickled:
    """A value that was pickled already, where it came to be; it is packed as it is."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob = blob


class Opened(NamedTuple):
    """A packed body as it came: plain values, or (`separate`) each as its own pickle, not yet rebuilt."""

    values: list[Any]
    separate: bool


class _BuiltinsOnly(pickle.Pickler):
    """Pickles built-in containers and values at C speed and gives up on anything that needs cloudpickle's care."""

    def reducer_override(self, obj: Any) -> Any:
        raise _NeedsCloudpickle


class _NeedsCloudpickle(Exception):
    pass


class _Sink:
    """What a pickler writes to. Beyond `limit` bytes it counts and keeps nothing: no value takes the memory twice."""

    __slots__ = ("limit", "parts", "size")

    def __init__(self, limit: int | None) -> None:
        self.limit = sys.maxsize if limit is None else limit
        self.parts: list[Any] = []
        self.size = 0

    def write(self, part: Any) -> int:
        self.size += len(part)
        if self.size > self.limit:
            self.parts.clear()
        else:
            self.parts.append(part)
        return len(part)

    def taken(self, what: str) -> bytes:
        """All that was written. Raises `PayloadTooLarge`."""
        check_size(self.size, self.limit, what)
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


def dumps(
    value: Any, what: str = "The value", max_bytes: int | None = None, *, other_python: Python | None = None
) -> bytes:
    """Pickle one object, by value what the other side cannot import; so that an `other_python` can rebuild it, too.

    Raises `NotPicklable`, `PayloadTooLarge`, or `VersionMismatch` for what only this Python can rebuild.
    """
    sink = _Sink(max_bytes)
    try:
        _BuiltinsOnly(sink, protocol=5).dump(value)
    except _NeedsCloudpickle:
        return _cloudpickle(value, what, max_bytes, other_python)
    except PICKLING_ERRORS as exc:
        raise NotPicklable(what, reason_of(exc)) from exc
    return sink.taken(what)


def _cloudpickle(value: Any, what: str, max_bytes: int | None, other_python: Python | None) -> bytes:
    # Here, because cloudpickle costs import time and few values need it.
    from manycore.protocol.byvalue import ByValue, Portable
    from manycore.protocol.snippet import NoSource

    sink = _Sink(max_bytes)
    try:
        (Portable if other_python else ByValue)(sink, protocol=5).dump(value)
    except NoSource as exc:
        name, reason = exc.args
        raise VersionMismatch(f"The function {name} ({reason})", shown(here()), shown(other_python or here())) from exc
    except (KeyboardInterrupt, ItemTimeout):
        raise  # they do not come from the value
    except BaseException as exc:  # a user's __reduce__ may raise anything
        raise NotPicklable(what, reason_of(exc)) from exc
    return sink.taken(what)


def reason_of(exc: BaseException) -> str:
    """`KeyError: 'x'`, whatever the exception is: describing it runs its own code, which may fail too."""
    try:
        name = "".join([type(exc).__name__])
    except BaseException:
        name = "an exception"
    return f"{name}: {text_of(exc)}"


def text_of(thing: object) -> str:
    """Its `str()`, cut to a length that can be read; never raises."""
    try:
        # exactly a str, past what a subclass makes of it
        return str.__getitem__(str(thing), slice(MAX_TEXT))
    except BaseException as exc:  # a user's __str__ may raise anything
        return f"<its str() raised {type(exc).__name__}>"


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive values, packed: those at the positions `[start, stop)` of what was given to `pack_runs`."""

    start: int
    stop: int
    body: bytes


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
    other_python: Python | None = None,
) -> tuple[list[Run], dict[int, ManycoreError]]:
    """Pack values into runs of about `max_bytes` at most, a larger value alone.

    Gives the runs, and the errors of the positions that cannot travel, as of `dumps`. With `rows`, the values are
    tuples; those of plain values keep the fast form. `beside` has the bytes that travel with some of them.
    """
    if _is_small(values, min(max_bytes, max_item_bytes) - sum(beside.values()), rows=rows):
        return [Run(0, len(values), _TOGETHER + pickle.dumps(list(values), protocol=5))], {}
    runs: list[Run] = []
    errors: dict[int, ManycoreError] = {}
    group: list[bytes] = []
    size = 0
    for position, value in enumerate(values):
        try:
            done = type(value) is Pickled
            blob = value.blob if done else dumps(value, what, max_item_bytes, other_python=other_python)
        except (NotPicklable, PayloadTooLarge, VersionMismatch) as exc:
            errors[position] = exc
        weight = 0 if position in errors else len(blob) + beside.get(position, 0)
        if group and (position in errors or size + weight > max_bytes):
            runs.append(_separate(group, position))
            group, size = [], 0
        if position not in errors:
            group.append(blob)
            size += weight
    if group:
        runs.append(_separate(group, len(values)))
    return runs, errors


def _separate(group: list[bytes], stop: int) -> Run:
    return Run(stop - len(group), stop, _SEPARATE + pickle.dumps(group, protocol=5))


def _is_small(values: Sequence[Any], max_bytes: int, *, rows: bool) -> bool:
    """Whether all values (with `rows`, those in plain tuples) are plain, and too short to be worth cutting apart."""
    if rows and set(map(type, values)) - {tuple}:
        return False  # a named tuple needs cloudpickle's care, an iterator would be used up here
    held = list(chain.from_iterable(values)) if rows else values
    kinds = set(map(type, held))
    return kinds <= ATOMIC and sum(_bytes_of(kind, held, alone=len(kinds) == 1) for kind in kinds) <= max_bytes


def _bytes_of(kind: type, values: Sequence[Any], *, alone: bool) -> int:
    """About how many bytes the values of this kind take, where that can be much. At C speed: every item comes here."""
    if kind not in (int, str, bytes):
        return 0
    measure: Callable[[Any], int] = int.bit_length if kind is int else len
    size = sum(map(measure, values if alone else [value for value in values if type(value) is kind]))
    return size >> 3 if kind is int else size


def opened(body: bytes | memoryview) -> Opened:
    """The values of a packed body, none of them rebuilt."""
    return Opened(pickle.loads(memoryview(body)[1:]), may_be_broken(body))


def rebuilt(value: bytes, what: str = "The value", where: str = "this process") -> Any:
    """A value out of its own pickle. Raises `NotUnpicklable`, saying `what` and `where`, or `VersionMismatch`.

    `MemoryError` is raised as it is.
    """
    try:
        return pickle.loads(value)
    except (KeyboardInterrupt, ItemTimeout, MemoryError, VersionMismatch):
        raise
    except BaseException as exc:  # a user's class may raise anything while it is rebuilt
        raise NotUnpicklable(what, where, reason_of(exc)) from exc


def unpack(body: bytes | memoryview, what: str = "The value", where: str = "this process") -> list[Any]:
    """The values of a packed body. Raises `NotUnpicklable` if one of them cannot be rebuilt."""
    values, separate = opened(body)
    return [rebuilt(value, what, where) for value in values] if separate else values


def unpack_each(
    body: bytes | memoryview, what: str = "The value", where: str = "this process"
) -> tuple[list[Any], dict[int, BaseException]]:
    """The values of a packed body, and the errors of those that cannot be rebuilt; None stands at their places."""
    values, separate = opened(body)
    errors: dict[int, BaseException] = {}
    for place, value in enumerate(values if separate else ()):
        values[place] = None
        try:
            values[place] = rebuilt(value, what, where)
        except BaseException as exc:
            errors[place] = exc
    return values, errors


def repacked(held: Opened, start: int, stop: int) -> bytes:
    """The values at the positions `[start, stop)` as a body of their own; none is rebuilt."""
    return (_SEPARATE if held.separate else _TOGETHER) + pickle.dumps(held.values[start:stop], protocol=5)


def may_be_broken(body: bytes | memoryview) -> bool:
    """Whether rebuilding a value of this body can fail; plain values always can be rebuilt."""
    return body[:1] == _SEPARATE


def check_size(size: int, limit: int, what: str) -> None:
    """Raise `PayloadTooLarge` when `size` bytes are more than `limit`."""
    if size > limit:
        raise PayloadTooLarge(what, size, limit)


def name_of(function: Callable[..., Any] | str) -> str:
    """What a function is called in messages, in Flower and in logs."""
    if isinstance(function, str):
        return function
    inner = _inner(function)
    return f"{module_of(function)}.{getattr(inner, '__qualname__', type(inner).__qualname__)}".lstrip(".")


def module_of(function: Callable[..., Any] | str) -> str:
    """The module of a function; of a callable object, that of its class."""
    return getattr(_inner(function), "__module__", None) or ""


def _inner(function: Any) -> Any:
    return getattr(function, "func", function)  # functools.partial
