"""What decides the results of a function, a piece of it each: its code, what it closes over, what it refers to.

Line numbers and file names do not count. Of the globals that it refers to, functions, classes and constants do;
other objects do not: they change while a program runs (clients, caches, counters).
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Collection, Iterator
from enum import Enum
from itertools import chain
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)
_CODE = (FunctionType, BuiltinFunctionType, MethodType, type, functools.partial, type(functools.lru_cache(abs)))
_METHODS = (*_CODE, staticmethod, classmethod, property, functools.cached_property)


def parts(code: CodeType) -> Iterator[Any]:
    """What a code object does."""
    yield code.co_code
    yield code.co_exceptiontable
    yield code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    yield code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    yield code.co_consts


def held_by(function: Any, own: Collection[str]) -> Iterator[Any]:
    """What a function is made of; of the globals, those of modules in `own`."""
    if "registry" in function.__dict__ and "dispatch" in function.__dict__:  # singledispatch: its closure holds a cache
        yield dict(function.registry)
        return
    yield function.__code__
    yield function.__defaults__
    yield function.__kwdefaults__
    yield function.__closure__
    if function.__globals__.get("__name__") in own:
        for name in sorted(set(_globals(function.__code__))):
            value = function.__globals__.get(name)
            if isinstance(value, _CODE + _CONSTANTS):
                yield name, value


def held_by_class(kind: type) -> Iterator[Any]:
    """What a class does, by name: its methods and its constants. What Python itself puts there does not count."""
    for name, value in sorted(vars(kind).items()):
        dunder = name.startswith("__") and name.endswith("__")
        if isinstance(value, _METHODS if dunder else _METHODS + _CONSTANTS) and not name.startswith("__annotate"):
            yield name, value
    if issubclass(kind, Enum):
        yield [(name, member.value) for name, member in kind.__members__.items()]


def _globals(code: CodeType) -> Iterator[str]:
    named = (found.argval for found in dis.get_instructions(code) if found.opname == "LOAD_GLOBAL")
    inner = (_globals(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return chain(named, chain.from_iterable(inner))
