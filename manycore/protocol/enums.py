"""Enums by value: what cloudpickle leaves out of their members.

It makes them anew of their values, by a class without its own `__new__` and `__init__`, or with those of a base, which
want other arguments. So what those had given them was missing, other names of a member could not be looked up, and one
that is a `bytes` or an `int` too could be another.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, Flag
from enum import member as enum_member
from functools import reduce
from operator import or_
from typing import Any, TypeAlias

Members: TypeAlias = dict[str, Any]
Filled: TypeAlias = tuple[Callable[..., Any], Any, tuple[str, ...], dict[str, Members]]


def made(kind: type[Enum], arguments: tuple[Any, ...], members: Members) -> tuple[Any, ...]:
    """cloudpickle's `arguments`, from which an enum is made, with all names of its members; those leave `members`."""
    *before, _, module, tracker, extra = arguments
    named = {name: member for name, member in kind.__members__.items() if _is_composed(kind, member)}
    for name in named:
        members.pop(name, None)
    if _is_made_its_own_way(kind):
        plain = {name: (member.value, _plain(kind, member)) for name, member in named.items()}
        return *before, {"__new__": member_again, "__init__": nothing} | plain, module, tracker, extra
    return *before, {name: _said(member.value) for name, member in named.items()}, module, tracker, extra


def member_again(kind: type[Any], *given: Any) -> Any:
    """Makes a member in the place of its class's own `__new__`: of its value, and of what its other base is made of."""
    value, plain = given if len(given) == 2 else given[0]  # of a tuple, as one argument
    member = _data_type(kind).__new__(kind, *plain)
    member._value_ = value
    return member


def nothing(*_: Any) -> None:
    """In the place of an `__init__`."""


def state(kind: type[Enum], setter: Callable[..., Any], state: tuple[Members, Any]) -> Filled:
    """What `fill` needs: of each member, the attributes that its class has given it."""
    strays = tuple(name for name in ("__init__", "__new_member__") if name not in state[0])
    held = {name: _given(member) for name, member in kind.__members__.items()}
    return setter, state, strays, {name: given for name, given in held.items() if given}


def fill(kind: type[Enum], state: Filled) -> None:
    """Give an enum what else its class has, and its members what is their own."""
    setter, members, strays, held = state
    setter(kind, members)
    for name in strays:
        if name in vars(kind):
            delattr(kind, name)
    for name, given in held.items():
        vars(kind.__members__[name]).update(given)


def _given(member: Enum) -> Members:
    return {name: value for name, value in vars(member).items() if not (name[0] == name[-1] == "_")}


def _said(value: Any) -> Any:
    """A value, so that it is taken for one: a function would be a method."""
    return enum_member(value) if hasattr(type(value), "__get__") else value


def _is_made_its_own_way(kind: Any) -> bool:
    """Whether a member cannot be made of its value alone, but of what `_plain` says."""
    base = _data_type(kind)
    if base.__new__ is not object.__new__ and not hasattr(base, "__getnewargs__"):
        return False
    is_odd = kind._new_member_ not in (object.__new__, base.__new__)
    return is_odd or (base is not object and base.__new__ is object.__new__)


def _plain(kind: type[Enum], member: Enum) -> tuple[Any, ...]:
    base = _data_type(kind)
    return () if base.__new__ is object.__new__ else tuple(base.__getnewargs__(member))


def _data_type(kind: Any) -> Any:
    """What its members are besides: `str`, a dataclass; `object` where they are nothing else."""
    return kind._member_type_


def _is_composed(kind: type[Enum], member: Enum) -> bool:
    """Whether the flags make it up, if it is a flag's; else only a class with a boundary of its own could hold it."""
    return not isinstance(member, Flag) or not member.value & ~reduce(or_, (one.value for one in kind), 0)
