"""Turns items, results, functions and exceptions into bytes and back. It trusts its input: `codec` checks it first.

Each item is pickled by itself, unless all of them are plain immutable values: so items never share a mutable object,
however they happen to be chunked, and one that cannot be rebuilt does not take its neighbours along.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Any

from manycore.errors import ManycoreError, NotPicklable, NotUnpicklable, PayloadTooLarge, RemoteError, RemoteTraceback

_ATOMIC = {type(None), bool, int, float, complex, str, bytes}
_TOGETHER, _SEPARATE = b"T", b"S"
PICKLING_ERRORS = (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError, NotImplementedError)
"""What pickle and cloudpickle raise for an object that has no pickled form; objects may raise others of their own."""


class Broken:
    """Stands at the place of a value that could not be rebuilt, with the reason."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class _BuiltinsOnly(pickle.Pickler):
    """Pickles built-in containers and values at C speed and gives up on anything that needs cloudpickle's care."""

    def reducer_override(self, obj: Any) -> Any:
        raise _NeedsCloudpickle


class _NeedsCloudpickle(Exception):
    pass


def dumps(value: Any, what: str = "The value") -> bytes:
    """Pickle one object, by value what the other side cannot import. Raises `NotPicklable`."""
    buffer = BytesIO()
    try:
        _BuiltinsOnly(buffer, protocol=5).dump(value)
    except _NeedsCloudpickle:
        return _cloudpickle(value, what)
    except PICKLING_ERRORS as exc:
        raise NotPicklable(what, f"{type(exc).__name__}: {exc}") from exc
    return buffer.getvalue()


def _cloudpickle(value: Any, what: str) -> bytes:
    import cloudpickle  # here, because it is needed for few values and costs import time

    try:
        return bytes(cloudpickle.dumps(value, protocol=5))
    except Exception as exc:  # a user's __reduce__ may raise anything
        raise NotPicklable(what, f"{type(exc).__name__}: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive values, packed: those at the positions `[start, stop)` of what was given to `pack_runs`."""

    start: int
    stop: int
    body: bytes


def pack(values: Sequence[Any]) -> bytes:
    """Pack values of any kind into one body. Raises `NotPicklable` if one of them cannot be pickled."""
    if _is_atomic(values):
        return _TOGETHER + pickle.dumps(list(values), protocol=5)
    return _SEPARATE + pickle.dumps([dumps(value) for value in values], protocol=5)


def pack_runs(
    values: Sequence[Any], what: str, *, max_bytes: int, max_item_bytes: int, rows: bool = False
) -> tuple[list[Run], dict[int, ManycoreError]]:
    """Pack values into runs of about `max_bytes` at most, a larger value alone.

    Gives the runs, and the errors of the positions that cannot travel: `NotPicklable` or `PayloadTooLarge`. With
    `rows`, the values are tuples; those of plain values keep the fast form.
    """
    if _is_small(values, min(max_bytes, max_item_bytes), rows=rows):
        return [Run(0, len(values), _TOGETHER + pickle.dumps(list(values), protocol=5))], {}
    runs: list[Run] = []
    errors: dict[int, ManycoreError] = {}
    group: list[bytes] = []
    size = 0
    for position, value in enumerate(values):
        try:
            blob = dumps(value, what)
            check_size(len(blob), max_item_bytes, what)
        except (NotPicklable, PayloadTooLarge) as exc:
            errors[position] = exc
        if group and (position in errors or size + len(blob) > max_bytes):
            runs.append(_separate(group, position))
            group, size = [], 0
        if position not in errors:
            group.append(blob)
            size += len(blob)
    if group:
        runs.append(_separate(group, len(values)))
    return runs, errors


def _separate(group: list[bytes], stop: int) -> Run:
    return Run(stop - len(group), stop, _SEPARATE + pickle.dumps(group, protocol=5))


def _is_atomic(values: Iterable[Any]) -> bool:
    """Whether all values are plain and immutable, so that pickling them together changes nothing."""
    return set(map(type, values)) <= _ATOMIC


def _is_small(values: Sequence[Any], max_bytes: int, *, rows: bool) -> bool:
    """Whether all values (with `rows`, those in plain tuples) are plain, and too short to be worth cutting apart."""
    if rows and set(map(type, values)) - {tuple}:
        return False  # a named tuple needs cloudpickle's care, an iterator would be used up here
    held = list(chain.from_iterable(values)) if rows else values
    kinds = set(map(type, held))
    return kinds <= _ATOMIC and sum(_bytes_of(kind, held, alone=len(kinds) == 1) for kind in kinds) <= max_bytes


def _bytes_of(kind: type, values: Sequence[Any], *, alone: bool) -> int:
    """About how many bytes the values of this kind take, where that can be much. At C speed: every item comes here."""
    if kind not in (int, str, bytes):
        return 0
    measure: Callable[[Any], int] = int.bit_length if kind is int else len
    size = sum(map(measure, values if alone else [value for value in values if type(value) is kind]))
    return size >> 3 if kind is int else size


def unpack(body: bytes | memoryview, what: str = "The value", where: str = "this process") -> list[Any]:
    """The values of a packed body; a `Broken` where one cannot be rebuilt, saying `what` and `where`."""
    content = pickle.loads(body[1:])
    if body[:1] == _TOGETHER:
        return content  # type: ignore[no-any-return]
    return [_rebuild(value, what, where) for value in content]


def alone(body: bytes | memoryview, positions: Iterable[int]) -> Iterator[bytes]:
    """The values at these positions, each as a body of its own; what is pickled in it is not rebuilt."""
    content = pickle.loads(body[1:])
    for position in positions:
        yield bytes(body[:1]) + pickle.dumps([content[position]], protocol=5)


def may_be_broken(body: bytes | memoryview) -> bool:
    """Whether `unpack` can give a `Broken` for this body; plain values always can be rebuilt."""
    return body[:1] == _SEPARATE


def _rebuild(value: bytes, what: str, where: str) -> Any:
    try:
        return pickle.loads(value)
    except Exception as exc:  # a user's class may raise anything while it is rebuilt
        return Broken(NotUnpicklable(what, where, f"{type(exc).__name__}: {exc}"))


def check_size(size: int, limit: int, what: str) -> None:
    """Raise `PayloadTooLarge` when `size` bytes are more than `limit`."""
    if size > limit:
        raise PayloadTooLarge(what, size, limit)


def name_of(function: Callable[..., Any] | str) -> str:
    """What a function is called in messages, in Flower and in logs."""
    if isinstance(function, str):
        return function
    inner = getattr(function, "func", function)  # functools.partial
    module = getattr(inner, "__module__", None) or ""
    return f"{module}.{getattr(inner, '__qualname__', type(inner).__qualname__)}".lstrip(".")


def needs_same_python(blob: bytes) -> bool:
    """Whether a pickled function holds byte code, which only the same minor version of Python can run."""
    return b"cloudpickle" in blob


def python_version() -> tuple[int, int]:
    return sys.version_info[0], sys.version_info[1]


def dump_error(error: BaseException, traceback_text: str) -> bytes:
    """Pickle an item's exception with its traceback as text. What does not survive the way becomes a `RemoteError`."""
    try:
        blob = _cloudpickle(error, "The exception")
        rebuilt = pickle.loads(blob)
        if type(rebuilt).__qualname__ != type(error).__qualname__:
            raise TypeError(f"it is rebuilt as {type(rebuilt).__qualname__}")
    except Exception as exc:  # a user's exception class may raise anything here
        blob = pickle.dumps(RemoteError(type(error).__qualname__, _text(error), _text(exc)), protocol=5)
    return pickle.dumps((blob, traceback_text), protocol=5)


def load_error(blob: bytes) -> BaseException:
    """The exception of an item, with the worker's traceback as its cause."""
    inner, traceback_text = pickle.loads(blob)
    try:
        error = pickle.loads(inner)
    except Exception as exc:  # its class may be missing here, or raise while it is rebuilt
        error = RemoteError("An exception", "see the worker's traceback below", f"{type(exc).__name__}: {exc}")
    if traceback_text:
        # Past the class's own __setattr__: that of a frozen one raises.
        BaseException.__setattr__(error, "__cause__", RemoteTraceback(traceback_text))
    return error  # type: ignore[no-any-return]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as exc:  # a user's __str__ may raise anything
        return f"<its str() raised {type(exc).__name__}>"
