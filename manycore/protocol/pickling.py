"""One value into its pickle: plain ones at C speed, what the other side cannot import by value.

A pickler writes to a `Sink`. That one bounds what it keeps, and can leave large buffers (NumPy's, Arrow's) out of the
pickle: protocol 5, PEP 574.
"""

from __future__ import annotations

import pickle
import sys
import threading
from typing import Any

from manycore.errors import ItemTimeout, NotPicklable, PayloadTooLarge, VersionMismatch
from manycore.protocol.python import Python, here, shown

MAX_TEXT = 10_000
"""Characters of an exception's text that are shown where the exception itself cannot be."""


class _BuiltinsOnly(pickle.Pickler):
    """Pickles built-in containers and values at C speed and gives up on anything that needs cloudpickle's care."""

    def reducer_override(self, obj: Any) -> Any:
        raise _NeedsCloudpickle


class _NeedsCloudpickle(Exception):
    pass


class Sink:
    """What a pickler writes to. Beyond `limit` bytes it counts and keeps nothing: no value takes the memory twice.

    Buffers of at least `aside_bytes` are left out of the pickle, without a copy (`buffers`); by default none is.
    """

    __slots__ = ("aside_bytes", "buffers", "limit", "parts", "size")

    def __init__(self, limit: int | None = None, aside_bytes: int | None = None) -> None:
        self.limit = sys.maxsize if limit is None else limit
        self.aside_bytes = sys.maxsize if aside_bytes is None else aside_bytes
        self.parts: list[Any] = []
        self.buffers: list[memoryview] = []
        self.size = 0

    def clear(self) -> None:
        """Begin anew."""
        self.parts, self.buffers, self.size = [], [], 0

    def write(self, part: Any) -> int:
        if type(part) is pickle.PickleBuffer:  # of a large array, which belongs into the pickle
            part = part.raw()
        size = len(part)
        self.size += size
        if self.size <= self.limit:
            self.parts.append(part)
        else:
            self.parts.clear()
        return size

    def aside(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer that the pickle leaves out; True if it belongs into the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:
            return True  # not in one piece: pickle has its own words for that
        if raw.nbytes < self.aside_bytes:
            return True
        self.size += raw.nbytes
        self.buffers.append(raw)
        return False

    def taken(self, what: str) -> bytes:
        """All that was written. Raises `PayloadTooLarge`."""
        if self.size > self.limit:
            self.check(what)
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def check(self, what: str) -> None:
        """Raise `PayloadTooLarge` if it was more than the limit."""
        check_size(self.size, self.limit, what)


def dumps(
    value: Any, what: str = "The value", max_bytes: int | None = None, *, other_python: Python | None = None
) -> bytes:
    """Pickle one object, by value what the other side cannot import; so that an `other_python` can rebuild it, too.

    Raises `NotPicklable`, `PayloadTooLarge`, or `VersionMismatch` for what only this Python can rebuild.
    """
    sink = Sink(max_bytes)
    dump_into(sink, value, what, other_python)
    return sink.taken(what)


def dump_into(sink: Sink, value: Any, what: str, other_python: Python | None = None) -> None:
    """The same, into a sink. Raises what `dumps` does, but for `PayloadTooLarge`."""
    pickler: Any = None
    try:
        try:
            _BuiltinsOnly(sink, protocol=5, buffer_callback=sink.aside).dump(value)
        except _NeedsCloudpickle:
            sink.clear()
            pickler = _by_value(sink, other_python)
            pickler.dump(value)
    except BaseException as exc:  # a user's __reduce__ may raise anything, and a dict change meanwhile
        if is_ctrl_c(exc) or issubclass(type(exc), ItemTimeout):
            raise  # they do not come from the value
        raise _refusal(exc, what, other_python, _place(pickler, value, exc)) from exc


def _by_value(sink: Sink, other_python: Python | None) -> Any:
    # Here, because cloudpickle costs import time and few values need it.
    from manycore.protocol.byvalue import ByValue, Portable

    return (Portable if other_python else ByValue)(sink, protocol=5, buffer_callback=sink.aside)


def _place(pickler: Any, value: Any, error: BaseException) -> str:
    """Where in `value` the part is that it asked last. What is too deep is so in plain containers, of which it asks
    none."""
    from manycore.protocol.culprit import place_of

    cause = vars(BaseException)["__cause__"].__get__(error)  # past what its class makes of it
    if pickler is None or issubclass(type(cause or error), RecursionError):
        return ""
    return place_of(pickler.asked, value)


def _refusal(exc: BaseException, what: str, other_python: Python | None, place: str) -> NotPicklable | VersionMismatch:
    from manycore.protocol.snippet import NoSource

    if not issubclass(type(exc), NoSource):
        return NotPicklable(what, f"{reason_of(exc)}{place and f' (at {place})'}")
    name, reason = exc.args
    return VersionMismatch(f"The function {name} ({reason})", shown(here()), shown(other_python or here()))


def is_ctrl_c(exc: BaseException) -> bool:
    """Whether somebody has interrupted this process. That comes in the main thread alone: elsewhere it is a value's."""
    return issubclass(type(exc), KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


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


def check_size(size: int, limit: int, what: str) -> None:
    """Raise `PayloadTooLarge` when `size` bytes are more than `limit`."""
    if size > limit:
        raise PayloadTooLarge(what, size, limit)
