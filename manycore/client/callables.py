"""What a callable is, as far as that says how it can be sent. Little of it is asked, for it may answer as it likes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakValueDictionary

from manycore.protocol import packing
from manycore.task import TaskInfo, is_marked, task_info

_ASYNC = CO_COROUTINE | CO_ASYNC_GENERATOR


def is_made_anew(function: object) -> bool:
    """Whether it is a lambda, a function in a function, or a method of an object; no task, and not async. Runs nobody's
    code."""
    inner = function.__func__ if type(function) is MethodType else function
    if type(inner) is not FunctionType or inner.__code__.co_flags & _ASYNC or is_marked(inner):
        return False
    return inner is not function or "<" in inner.__qualname__


_weakref_offset = type.__dict__["__weakrefoffset__"].__get__
"""0 for a type of whose objects nobody can know when they are gone. A class of classes may answer for an attribute."""


class Called:
    """Those of these functions that were called before, as long as they live. Of an object of which that cannot be
    known, any method may have been. Runs nobody's code."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[int, int], object] = WeakValueDictionary()

    def add(self, function: object) -> None:
        key, owner = _identity(function)
        with suppress(TypeError):
            self._held[key] = owner

    def __contains__(self, function: object) -> bool:
        key, owner = _identity(function)
        return not _weakref_offset(type(owner)) or key in self._held


def _identity(function: object) -> tuple[tuple[int, int], object]:
    """What a function is known by, and what lives no longer than it is meant."""
    if type(function) is MethodType:  # another object each time that it is asked for
        return (id(function.__func__), id(function.__self__)), function.__self__
    return (id(function), 0), function


def is_async(function: object) -> bool:
    """By the code alone: a callable's own attributes may raise anything."""
    while isinstance(function, partial | MethodType):
        function = function.func if isinstance(function, partial) else function.__func__
    code = function if isinstance(function, FunctionType) else type(function).__call__
    return isinstance(code, FunctionType) and bool(code.__code__.co_flags & _ASYNC)


def mark_of(function: Callable[..., Any]) -> TaskInfo | None:
    """The mark of a task that is what its name says. Who wraps one by `functools.wraps` copies mark, name and module:
    sent by name, what is around it would not run. Where nothing stands by that name, the mark is not doubted."""
    info = task_info(function)
    if info is None:
        return None
    try:
        named = packing.standing(packing.module_of(function), function.__qualname__)
    except Exception:  # a module, too, may answer as it likes
        return info
    return info if named is None or named is function else None
