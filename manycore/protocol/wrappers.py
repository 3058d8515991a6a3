"""Takes the standard library's wrapped functions apart and wraps them again: `functools.cache`, `singledispatch`, ...

None has a pickled form but its name. What was cached stays behind. How they travel is for `byvalue` to say.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from types import FunctionType
from typing import Any

CACHED: type = type(functools.lru_cache(abs))
_DISPATCHER = functools.singledispatch(lambda value: None)
_OWN = frozenset(vars(_DISPATCHER)) - {"__wrapped__"}
"""What `singledispatch` sets on its functions, and makes anew with each: `register`, `dispatch`, `registry`, ..."""

Reduced = tuple[Callable[..., Any], tuple[Any, ...], Any, None, None, Callable[[Any, Any], None]]
"""How pickle rebuilds an object: what makes it, from what, with which state, and what gives it the state."""


def is_dispatcher(function: Any) -> bool:
    """Whether `functools.singledispatch` made this function."""
    return type(function) is FunctionType and function.__code__ is _DISPATCHER.__code__  # type: ignore[attr-defined]


def cached_apart(cached: Any) -> Reduced | None:
    """How to make a cached function again, with an empty cache; None if what it calls cannot be told."""
    wrapped = getattr(cached, "__wrapped__", None)
    if not any(held is wrapped for held in gc.get_referents(cached)):
        return None  # `functools.update_wrapper` has put another one there
    attributes = {name: value for name, value in vars(cached).items() if name != "cache_parameters"}
    return _cached_again, (wrapped, cached.cache_parameters()), attributes, None, None, _set_attributes


def _cached_again(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _set_attributes(cached: Any, attributes: dict[str, Any]) -> None:
    """A function that calls itself was wrapped before it had a name: the wrapper is told here."""
    vars(cached).update(attributes)


def cached_property_apart(held: Any) -> tuple[Any, ...]:
    """How to make a `cached_property` again; before Python 3.12 it holds a lock, which has no pickled form."""
    attributes = {name: value for name, value in vars(held).items() if name not in ("func", "lock")}
    return functools.cached_property, (held.func,), attributes


def dispatcher_apart(dispatcher: Any) -> Reduced:
    """How to make a generic function again: one that does nothing, then all its implementations."""
    attributes = {name: value for name, value in vars(dispatcher).items() if name not in _OWN}
    special = {name: getattr(dispatcher, name) for name in functools.WRAPPER_ASSIGNMENTS}
    state = dict(dispatcher.registry), attributes, special
    return _dispatcher_again, (dispatcher.__name__,), state, None, None, _register


def _dispatcher_again(name: str) -> Any:
    def nothing(*args: Any, **kwargs: Any) -> None: ...

    nothing.__name__ = name  # what its errors call it
    return functools.singledispatch(nothing)


def _register(dispatcher: Any, state: tuple[dict[type, Any], dict[str, Any], dict[str, Any]]) -> None:
    implementations, attributes, special = state
    for kind, function in implementations.items():
        dispatcher.register(kind, function)
    vars(dispatcher).update(attributes)
    for name, value in special.items():
        setattr(dispatcher, name, value)
