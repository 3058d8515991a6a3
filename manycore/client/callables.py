"""What a callable is, as far as that says how it can be sent. Little of it is asked, for it may answer as it likes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any
from weakref import WeakValueDictionary

from manycore.protocol import packing
from manycore.task import TaskInfo, is_marked, task_info

_ASYNC = CO_COROUTINE | CO_ASYNC_GENERATOR


def key_of(function: object) -> Hashable:
    """The same for functions that are one, as long as they live; a name for itself. Runs nobody's code."""
    if type(function) is str:
        return function
    if type(function) is BuiltinMethodType:
        return id(function.__self__), function.__name__
    if type(function) is MethodType:
        return id(function.__func__), id(function.__self__)
    return id(function)


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
        self._held: WeakValueDictionary[Hashable, object] = WeakValueDictionary()

    def add(self, function: object) -> None:
        with suppress(TypeError):
            self._held[key_of(function)] = _owner_of(function)

    def __contains__(self, function: object) -> bool:
        return not _weakref_offset(type(_owner_of(function))) or key_of(function) in self._held


def _owner_of(function: object) -> object:
    """What lives no longer than a function can be called: a method is another object each time that it is asked for."""
    return function.__self__ if type(function) is MethodType else function


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
