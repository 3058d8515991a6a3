"""Classes by value: what cloudpickle makes of them, but for three things, and enums (`enums`).

A class that comes back to the process which defined it stays as it is there: results never reset what it has become.
One with `__slots__` has them at the other end too. And for another minor version of Python, what the standard library
has generated for a class (`dataclass`, `namedtuple`, `Protocol`) is left out, and generated anew there.
"""

from __future__ import annotations

import collections
import dataclasses
import inspect
import threading
import typing
from collections.abc import Callable
from enum import Enum
from types import FunctionType
from typing import Any, ClassVar, TypeAlias
from weakref import WeakSet

from manycore.protocol import enums

_GENERATED = frozenset({"<string>", dataclasses.__file__, collections.__file__, typing.__file__})
"""Where the standard library compiles the methods that it generates, and where those are that it adds."""
_PARAMETERS = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
_FIELD = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")

_PROTOCOL = {"__protocol_attrs__", "__non_callable_proto_members__", "__callable_proto_members_only__"}
_STATE = ("__getstate__", "__setstate__")
"""Of a dataclass with slots: functions with a name of their own in `dataclasses`."""

Members: TypeAlias = dict[str, Any]
Recipe: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]
"""What generates methods of a class, and its further arguments."""

_native: WeakSet[type] = WeakSet()
"""Classes of this process's own, as far as they were sent."""
_rebuilt: WeakSet[type] = WeakSet()
_portable: WeakSet[type] = WeakSet()
"""Those that came from another Python, and may go back to it."""
_generating = threading.Lock()


def apart(kind: type, reduced: tuple[Any, ...], *, portable: bool) -> tuple[Any, ...]:
    """How to make a class again, out of how cloudpickle would (`reduced`)."""
    if kind not in _rebuilt:
        _native.add(kind)
    maker, arguments, (members, slots), *nothing, setter = reduced
    if "__slots__" in members and not issubclass(kind, Enum | tuple):
        arguments = _with_slots(arguments, members.pop("__slots__"))
    recipe = None
    portable = portable or kind in _portable
    if portable:
        members, recipe = _without_generated(kind, members)
    state: Any = (members, slots)
    if issubclass(kind, Enum):
        arguments = enums.made(kind, arguments, members)
        setter, state = enums.fill, enums.state(kind, setter, state)
    return maker, arguments, (setter, state, portable, recipe), *nothing, _fill


def _fill(kind: type, state: tuple[Callable[..., Any], Any, bool, Recipe | None]) -> None:
    """Give a class that was made empty its members; one of our own has them."""
    if kind in _native:
        return
    setter, members, portable, recipe = state
    _rebuilt.add(kind)
    setter(kind, members)
    with _generating:  # threads may rebuild it at the same time; once is enough, and it must not be without meanwhile
        if recipe is not None and kind not in _portable:
            generate, arguments = recipe
            generate(kind, *arguments)
        if portable:
            _portable.add(kind)


def _with_slots(arguments: tuple[Any, ...], slots: Any) -> tuple[Any, ...]:
    """cloudpickle's arguments of a class that is empty but for its slots."""
    constructor, name, bases, members, *rest = arguments
    return constructor, name, bases, members | {"__slots__": slots if isinstance(slots, str) else tuple(slots)}, *rest


def _without_generated(kind: type, members: Members) -> tuple[Members, Recipe | None]:
    """A class's members but for generated methods, and how to generate those."""
    if "__dataclass_params__" in members:
        parameters = {name: getattr(members["__dataclass_params__"], name) for name in _PARAMETERS}
        parameters["match_args"] = "__match_args__" in members
        gone = {"__dataclass_params__", "__match_args__"} | ({"__hash__"} if members.get("__hash__") is None else set())
        return _left(members, gone), (_dataclass_again, (parameters, hasattr(kind, "__post_init__")))
    if "_fields" in members and issubclass(kind, tuple):
        arguments = members["_fields"], members.get("_field_defaults", {})
        return _left(members, set()), (_namedtuple_again, arguments)
    if typing.Protocol in kind.__mro__:
        return _left(members, _PROTOCOL), (_protocol_again, (members.get("_is_runtime_protocol", False),))
    return members, None


def _left(members: Members, gone: set[str]) -> Members:
    kept = {name: value for name, value in members.items() if name not in gone}
    return {name: value for name, value in kept.items() if name in _STATE or not _is_generated(value)}


def _is_generated(value: Any) -> bool:
    inner = inspect.unwrap(getattr(value, "__func__", value)) if callable(value) or hasattr(value, "__func__") else None
    return isinstance(inner, FunctionType) and inner.__code__.co_filename in _GENERATED


def _dataclass_again(kind: Any, parameters: dict[str, bool], post_init: bool) -> None:
    """Let `dataclass` generate its methods, from the fields and not from annotations: those may be mere text."""
    known, fields = dict(vars(kind)), kind.__dataclass_fields__
    kind.__annotations__ = {name: _annotation(field) for name, field in fields.items()}
    for name, field in fields.items():
        if kind.__annotations__[name] is not ClassVar:
            setattr(kind, name, _field_again(field))
    if post_init and not hasattr(kind, "__post_init__"):
        kind.__post_init__ = None  # that of a base which refers to this class, and so is still to be filled
    dataclasses.dataclass(**parameters)(kind)
    kind.__dataclass_fields__ = fields
    kind.__annotations__ = known.get("__annotations__", {})
    for name in (*fields, "__post_init__"):
        if name in known:
            setattr(kind, name, known[name])  # of a field with a slot, its descriptor
        elif name in vars(kind):
            delattr(kind, name)  # what is inherited


def _annotation(field: Any) -> Any:
    kinds = {"_FIELD_CLASSVAR": ClassVar, "_FIELD_INITVAR": dataclasses.InitVar[Any]}
    return kinds.get(field._field_type.name, Any)


def _field_again(field: Any) -> Any:
    return dataclasses.field(**{name: getattr(field, name) for name in _FIELD})


def _namedtuple_again(kind: Any, fields: tuple[str, ...], defaults: Members) -> None:
    twin = collections.namedtuple(kind.__name__, fields, defaults=defaults.values())  # type: ignore[misc]
    for name, value in vars(twin).items():
        if _is_generated(value):
            setattr(kind, name, value)


def _protocol_again(kind: Any, runtime: bool) -> None:
    """Let `typing` look at the members, which were not there when it made the class."""
    type(kind).__init__(kind, kind.__name__, kind.__bases__, {})
    if runtime:
        typing.runtime_checkable(kind)
