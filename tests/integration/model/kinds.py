"""Kinds of values that users make themselves; and whether two values, of any kind, are alike."""

from __future__ import annotations

import enum
import math
import struct
from collections import ChainMap, UserDict, UserList, deque, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

Pair = namedtuple("Pair", "left right")


class Point(NamedTuple):
    x: Any
    y: Any = None


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclass(frozen=True)
class Frozen:
    what: Any


@dataclass
class Open:
    what: Any
    more: list[Any] = field(default_factory=list)


class Slotted:
    __slots__ = ("what",)

    def __init__(self, what: Any) -> None:
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and alike(self.what, other.what)

    __hash__ = None  # type: ignore[assignment]


class Peculiar(Exception):
    """Takes two arguments, and gives pickle what it needs."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(first, second)
        self.second = second


class Text(str):
    """A subclass of a plain type."""


def alike(one: Any, other: Any, seen: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether a copy is what it was copied from; of types that have no equality, or a strange one, too."""
    if type(one) is not type(other):
        return False
    if one is other or (id(one), id(other)) in seen:
        return True
    seen |= {(id(one), id(other))}
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, complex):
        return alike([one.real, one.imag], [other.real, other.imag])
    if isinstance(one, BaseException):
        return alike(one.args, other.args, seen)
    if isinstance(one, list | tuple | deque | UserList):
        return len(one) == len(other) and all(alike(a, b, seen) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict | UserDict):
        return list(map(repr, one)) == list(map(repr, other)) and alike([*one.values()], [*other.values()], seen)
    if isinstance(one, ChainMap):
        return alike(one.maps, other.maps, seen)
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, partial):
        return alike([one.func, one.args, one.keywords], [other.func, other.args, other.keywords], seen)
    if hasattr(one, "tobytes"):
        return bool(one.tobytes() == other.tobytes() or one.tolist() == other.tolist())
    if hasattr(one, "__dict__") and not isinstance(one, enum.Enum | type | str):
        return alike(vars(one), vars(other), seen) if vars(one) else bool(one == other)
    return bool(one == other)
