"""Where the part of a value is that cannot be pickled: pickle names its type, and neither variable nor attribute.

What a value consists of is asked of itself, as pickle does: foreign code, which may raise anything and take any time.
So this is a guess within bounds, and no word is better than a wrong one.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from time import monotonic
from types import CodeType, FunctionType, MethodType
from typing import Any

from manycore.errors import ItemTimeout

DEEPEST = 12
SECONDS = 0.3
"""How long it looks: who has a million arguments that fail is to be told within the day."""
_GLOBAL = "LOAD_GLOBAL", "LOAD_NAME"
Part = tuple[str, Any]
"""What leads to it, as a suffix in Python or in words, and the part itself."""


def place_of(value: Any, fails: Callable[[Any], bool]) -> str:
    """Such as `its global CLIENT._lock`; empty if `value` fails as a whole only, or nobody knows.

    `fails` says whether a part cannot be pickled alone.
    """
    until, path, seen = monotonic() + SECONDS, "", {id(value)}
    try:
        for _ in range(DEEPEST):
            parts = takewhile(lambda _: monotonic() < until, _parts(value))
            found = next((part for part in parts if id(part[1]) not in seen and fails(part[1])), None)
            if found is None:
                break
            lead, value = found
            seen.add(id(value))
            path = _longer(path, lead)
    except (KeyboardInterrupt, ItemTimeout):
        raise  # they do not come from the value
    except BaseException:  # what it says of itself is foreign code: this is as far as it gets
        return path
    return path


def _longer(path: str, lead: str) -> str:
    if lead[:1] in ("", ".", "["):
        return f"{path}{lead}" if path or not lead else f"its {lead.removeprefix('.')}"
    return f"{path}, {lead}" if path else lead


def _parts(value: Any) -> Iterator[Part]:
    """What is pickled with a value, each with what leads to it."""
    kind = type(value)
    if kind in (list, tuple):
        yield from ((f"[{at}]", each) for at, each in enumerate(value))
    elif kind in (set, frozenset):
        yield from (("an element of it", each) for each in value)
    elif kind is dict:
        yield from _of_dict(value)
    elif kind is FunctionType:
        yield from () if _has_a_name(value) else _of_function(value)
    elif kind is MethodType:
        yield from ((".__self__", value.__self__), (".__func__", value.__func__))
    elif kind is functools.partial:
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif issubclass(kind, type):
        yield from () if _has_a_name(value) else _attributes({**vars(value)})
    else:
        yield from _of_object(value)


def _of_dict(value: dict[Any, Any]) -> Iterator[Part]:
    for key, each in value.items():
        yield f"[{key!r:.40}]", each
        yield "a key of it", key


def _of_function(function: FunctionType) -> Iterator[Part]:
    code = function.__code__
    for name in dict.fromkeys(_globals_of(code)):
        if name in function.__globals__:
            yield f"its global {name}", function.__globals__[name]
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        yield f"its variable {name}", cell.cell_contents
    yield from (("a default of it", each) for each in function.__defaults__ or ())
    yield from ((f"its default of {name}", each) for name, each in (function.__kwdefaults__ or {}).items())
    yield from _attributes(vars(function))


def _globals_of(code: CodeType) -> Iterator[str]:
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in _GLOBAL)
    yield from chain.from_iterable(_globals_of(each) for each in code.co_consts if isinstance(each, CodeType))


def _of_object(value: Any) -> Iterator[Part]:
    """By what it says itself: what it leaves out is none of it."""
    reduced = value.__reduce_ex__(5)
    if isinstance(reduced, str):
        return
    args, state, items, pairs = [*reduced[1:5], None, None, None][:4]
    for each in state if isinstance(state, tuple) else (state,):
        yield from _attributes(each) if isinstance(each, dict) else (("", each),)
    yield from (("", each) for each in args if each is not type(value))
    yield from ((f"[{at}]", each) for at, each in enumerate(items or ()))
    yield from _of_dict(dict(pairs or ()))


def _attributes(found: dict[str, Any]) -> Iterator[Part]:
    return ((f".{name}", each) for name, each in found.items())


def _has_a_name(thing: Any) -> bool:
    from manycore.protocol.byvalue import importable

    return importable(thing)
