"""Where the part of a value is that cannot be pickled: pickle names its type, and neither variable nor attribute.

The pickler knows which part it asked last. The way to it is looked for in what Python itself keeps, and nothing is
asked twice: what made one attempt fail, or hang, or count, is foreign code.
"""

from __future__ import annotations

import dis
import functools
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from time import thread_time
from types import CodeType, FunctionType, MemberDescriptorType, MethodType
from typing import Any

SECONDS = 0.1
"""How long it looks: who has a million arguments that fail is to be told within the day."""
_GLOBAL = "LOAD_GLOBAL", "LOAD_NAME"
Part = tuple[str, Any]
"""What leads to it, as Python writes it or in words, and the part itself."""


def place_of(culprit: Any, value: Any) -> str:
    """Such as `its global CLIENT._lock`; empty if it is the value itself, or is made as the value is pickled."""
    until, seen = thread_time() + SECONDS, {id(value)}
    waiting = deque([("", value)] if culprit is not value else ())
    while waiting:
        path, whole = waiting.popleft()
        with suppress(Exception):  # what is no function or class after all, though it says so
            for lead, part in _parts(whole):
                if part is culprit:
                    return _longer(path, lead)
                if thread_time() > until:
                    return ""
                if id(part) not in seen:
                    seen.add(id(part))
                    waiting.append((_longer(path, lead), part))
    return ""


def _longer(path: str, lead: str) -> str:
    if lead[0] in ".[":
        return f"{path}{lead}" if path else f"its {lead.removeprefix('.')}"
    return f"{path}, {lead}" if path else lead


def _parts(value: Any) -> Iterator[Part]:
    """What may be pickled with a value, each with what leads to it."""
    kind = type(value)
    if issubclass(kind, (str, bytes, int, float)):
        return
    if issubclass(kind, (list, tuple)):
        yield from ((f"[{at}]", each) for at, each in enumerate(_plain(kind, list, tuple).__iter__(value)))
    elif issubclass(kind, (set, frozenset)):
        yield from (("an element of it", each) for each in _plain(kind, set, frozenset).__iter__(value))
    elif issubclass(kind, dict):
        for key, each in dict.items(value):
            yield (f"[{key!r:.40}]" if type(key) in (str, int, float, bytes) else "a value of it"), each
            yield "a key of it", key
    elif kind is FunctionType:
        yield from _of_function(value)
    elif kind is MethodType:
        yield from ((".__self__", value.__self__), (".__func__", value.__func__))
    elif kind is functools.partial:
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    yield from _of_object(value, kind)


def _plain(kind: type, *builtin: type) -> Any:
    """The builtin class that it is a kind of: past what a user's class makes of it."""
    return next(each for each in builtin if issubclass(kind, each))


def _of_function(function: FunctionType) -> Iterator[Part]:
    code = function.__code__
    for name in dict.fromkeys(_globals_of(code)):
        if name in function.__globals__:
            yield f"its global {name}", function.__globals__[name]
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        with suppress(ValueError):  # nothing is in it yet
            yield f"its variable {name}", cell.cell_contents
    yield from (("a default of it", each) for each in function.__defaults__ or ())
    yield from ((f"its default of {name}", each) for name, each in (function.__kwdefaults__ or {}).items())


def _globals_of(code: CodeType) -> Iterator[str]:
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in _GLOBAL)
    yield from chain.from_iterable(_globals_of(each) for each in code.co_consts if isinstance(each, CodeType))


def _of_object(value: Any, kind: type) -> Iterator[Part]:
    with suppress(AttributeError):
        found = type.__getattribute__(value, "__dict__") if issubclass(kind, type) else _dict_of(value)
        yield from ((f".{name}", each) for name, each in found.items())
    for name, slot in chain.from_iterable(vars(each).items() for each in kind.__mro__):
        if type(slot) is MemberDescriptorType and kind not in (FunctionType, MethodType, functools.partial):
            with suppress(AttributeError):
                yield f".{name}", slot.__get__(value)


def _dict_of(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    return found
