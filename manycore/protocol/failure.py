"""An item's exception on its way to the caller, with the worker's traceback as text.

An exception is foreign code: to pickle it, to format it, even to name it may raise anything, or give something
enormous. Nothing here raises for it, and all is bounded: what cannot travel is told in words (`RemoteError`).
"""

from __future__ import annotations

import pickle
import traceback
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeGuard, TypeVar

from manycore.errors import ManycoreError, RemoteError, RemoteTraceback
from manycore.protocol.pickling import dumps, reason_of, text_of

E = TypeVar("E", bound=BaseException)
MAX_TRACEBACK = 64 * 1024
"""Characters of a traceback that travel; of a longer one, its beginning and its end."""
MAX_ERROR_BYTES = 64 * 1024 * 1024
"""Of one exception, where nobody says less: as the default of `max_item_bytes`."""


def dump_error(error: BaseException, traceback_text: str = "", max_bytes: int = MAX_ERROR_BYTES) -> bytes:
    """Pickle an item's exception with its traceback as text. What does not survive the way becomes a `RemoteError`."""
    return pickle.dumps((_blob(error, max_bytes), traceback_text), protocol=5)


def _blob(error: BaseException, max_bytes: int) -> bytes:
    """An error in the first form that survives the way: as itself, by its fields, in words."""
    try:
        return _checked(error, error, max_bytes)
    except BaseException as exc:  # a user's exception class may raise anything here
        try:
            return _checked(error, _Fields(error), max_bytes)
        except BaseException:
            return pickle.dumps(RemoteError(class_name(error), text_of(error), _why(exc)), protocol=5)


class _Fields:
    """Pickles an exception by what it holds: its class may want other arguments than those that it keeps."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self._error
        _, args, *fields = _builtin(type(error)).__reduce__(error)
        if not is_a(error, BaseExceptionGroup):
            return from_fields, (type(error), args, *fields)
        # One that does not survive the way is no reason to lose all of them.
        blobs = [_blob(each, MAX_ERROR_BYTES) for each in error.exceptions]
        return group_of, (type(error), args[0], blobs, *fields)


def group_of(kind: type[BaseException], message: str, blobs: list[bytes], fields: dict[str, Any] | None = None) -> Any:
    """A group of errors, each a pickle of its own."""
    return from_fields(kind, (message, [pickle.loads(blob) for blob in blobs]), fields)


def from_fields(kind: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any] | None = None) -> Any:
    """An exception with these fields, past what its class has of its own to make one."""
    builtin = _builtin(kind)
    error = builtin.__new__(kind, *args)
    builtin.__init__(error, *args)
    vars(error).update(fields or {})
    return error


def _builtin(kind: type[BaseException]) -> Any:
    return next(each for each in kind.__mro__ if each.__module__ == "builtins")


def _checked(error: BaseException, form: object, max_bytes: int) -> bytes:
    """This form of an error, pickled. Raises for one that is rebuilt as something else, or says something else."""
    blob = dumps(form, "The exception", max_bytes)
    rebuilt = pickle.loads(blob)
    if rebuilt.__class__.__qualname__ != type(error).__qualname__:  # asked, as each `isinstance` of a caller's asks
        raise TypeError(f"it is rebuilt as {type(rebuilt).__qualname__}")
    if form is not error and str(rebuilt) != str(error):
        raise TypeError("it is rebuilt with another text")
    return blob


def _why(exc: BaseException) -> str:
    return text_of(exc) if is_a(exc, ManycoreError) or is_a(exc, TypeError) else reason_of(exc)


def is_a(error: BaseException, kind: type[E]) -> TypeGuard[E]:
    """Whether it is of this kind. `isinstance` asks the exception itself, for its `__class__`."""
    return issubclass(type(error), kind)


def class_name(error: BaseException) -> str:
    """The name of its class."""
    try:
        return "".join([type(error).__qualname__])
    except BaseException:  # a metaclass may have its own idea of a name
        return "An exception"


def is_ordinary(error: BaseException) -> bool:
    """Whether who handles any `Exception`, shows it and pickles it, meets nothing worse than an `Exception` here."""
    try:
        if not issubclass(error.__class__, Exception):
            return False
        for look in (str, repr, pickle.dumps):
            with suppress(Exception):
                look(error)
    except BaseException:
        return False
    return True


def load_error(blob: bytes) -> BaseException:
    """The exception of an item, with the worker's traceback as its cause. Never raises for what is in it."""
    inner, traceback_text = pickle.loads(blob)
    try:
        error: BaseException = pickle.loads(inner)
        if not issubclass(error.__class__, BaseException):  # asked, as each `isinstance` from here on
            raise TypeError(f"it is rebuilt as {type(error).__qualname__}")
    except BaseException as exc:  # its class may be missing here, or raise anything while it is rebuilt
        error = RemoteError("An exception", "see the worker's traceback below", reason_of(exc))
    if traceback_text:
        # Past the class's own __setattr__: that of a frozen one raises.
        BaseException.__setattr__(error, "__cause__", RemoteTraceback(traceback_text))
    return error


def traceback_text(error: BaseException, own_modules: str) -> str:
    """An item's traceback as text, without the frames of `own_modules` (by the start of their name) at its start."""
    trace = None
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(own_modules):
            trace = trace.tb_next
        return _cut("".join(traceback.format_exception(type(error), error, trace)))
    except BaseException as exc:  # to format it runs its code, and that of its causes
        return _cut(_stack_alone(error, trace, exc))


def _stack_alone(error: BaseException, trace: TracebackType | None, why: BaseException) -> str:
    """The frames, and what can be said of an exception that cannot be formatted."""
    try:
        frames = "".join(traceback.format_tb(trace))
    except BaseException:  # the source of a frame may be as odd as its exception
        frames = ""
    told = f"{class_name(error)}: {text_of(error)}\n(it could not be formatted: {reason_of(why)})\n"
    return f"Traceback (most recent call last):\n{frames}{told}"


def _cut(text: str) -> str:
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    return f"{text[:half]}\n... {len(text) - MAX_TRACEBACK:,} characters left out ...\n{text[-half:]}"
