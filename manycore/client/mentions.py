"""What a function that goes by value imports by itself: those of a prompt or a notebook stand in no file to read.

Only the code of a function is looked at, and of what it refers to that goes by value too; nothing is executed.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from manycore.client.modules import is_installed
from manycore.protocol.byvalue import importable

MAX_LOOKED_AT = 1_000
"""Of functions, classes and objects: a few milliseconds."""


def mentions_of(things: Iterable[Any]) -> frozenset[str]:
    """The names that are imported in these functions, and in those that they refer to, with all dots."""
    waiting, seen, found = list(things), dict[int, Any](), set[str]()
    while waiting and len(seen) < MAX_LOOKED_AT:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing  # held, so that nothing else gets its id
        if type(thing) is FunctionType and _goes_by_value(thing):
            found |= _imported_in(thing.__code__)
            waiting += _referred_by(thing)
        else:
            waiting += _referred(thing, type(thing))
    return frozenset(found)


def _goes_by_value(function: FunctionType) -> bool:
    return not importable(function) and not is_installed(function.__code__.co_filename)


def _referred(thing: Any, kind: type) -> Iterator[Any]:
    """What goes along with this one and may hold functions. By its type: a proxy's `__class__` is foreign code."""
    if issubclass(kind, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif kind is MethodType:
        yield from (thing.__func__, type(thing.__self__))
    elif kind in (staticmethod, classmethod):
        yield thing.__func__
    elif kind is property:
        yield from (thing.fget, thing.fset)
    elif issubclass(kind, type):
        yield from vars(thing).values() if thing.__module__ == "__main__" else ()
    elif kind.__module__ == "__main__":
        yield kind


def _referred_by(function: FunctionType) -> Iterator[Any]:
    known = function.__globals__
    yield from (known[name] for name in _names_in(function.__code__) if name in known)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is not filled yet
            continue


@lru_cache(maxsize=1_024)
def _imported_in(code: CodeType) -> frozenset[str]:
    found, base = set[str](), ""
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            base = step.argval
            found.add(base)
        elif step.opname == "IMPORT_FROM":
            found.add(f"{base}.{step.argval}")
    return frozenset(found.union(*map(_imported_in, _within(code))))


@lru_cache(maxsize=1_024)
def _names_in(code: CodeType) -> frozenset[str]:
    return frozenset(code.co_names).union(*map(_names_in, _within(code)))


def _within(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
