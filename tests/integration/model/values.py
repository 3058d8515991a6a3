"""Values of every kind that pickles, drawn from a seeded source; and whether two of them are alike."""

from __future__ import annotations

import datetime
import enum
import importlib
import importlib.util
import math
import operator
import re
import struct
import uuid
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import PurePosixPath
from random import Random
from types import SimpleNamespace
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


PLAIN: list[Callable[[Random], Any]] = [
    lambda _: None,
    lambda r: r.random() < 0.5,
    lambda r: r.randint(-5, 300),
    lambda r: r.choice([1, -1]) << r.choice([31, 63, 64, 200, 5_000]),
    lambda r: r.choice([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, r.random()]),
    lambda r: complex(r.random(), -0.0),
    lambda r: r.choice(["", "x", "ü€😀", "\0", "\ud800", "a" * 20_000, "line\nline"]),
    lambda r: r.choice([b"", b"\xff\0", b"x" * 70_000, r.randbytes(30)]),
]
"""Those that are sent together, unpickled by nobody's code."""

SCALARS: list[Callable[[Random], Any]] = [
    *PLAIN,
    lambda r: Decimal(r.choice(["0.1", "NaN", "-Infinity", "1E+50"])),
    lambda r: Fraction(r.randint(1, 9), 7),
    lambda r: datetime.datetime(2026, 1, r.randint(1, 28), tzinfo=r.choice([None, datetime.UTC])),
    lambda r: datetime.timedelta(microseconds=r.randint(-9, 9)),
    lambda r: uuid.UUID(int=r.getrandbits(128)),
    lambda r: PurePosixPath("a") / str(r.randint(0, 9)),
    lambda r: r.choice([range(3), slice(1, None, 2), ..., NotImplemented, int, Colour, len, operator.add]),
    lambda r: r.choice([*Colour, *Bits, Bits.A | Bits.B]),
    lambda r: re.compile(r.choice(["a+", "(?i)x"])),
    lambda r: Text(r.randint(0, 9)),
    lambda r: bytearray(r.randbytes(5)),
    lambda r: array("d", [r.random()]),
    lambda r: partial(max, r.randint(0, 9)),
]

HOLDERS: list[Callable[[list[Any]], Any]] = [
    list,
    tuple,
    lambda held: dict(enumerate(held)),
    lambda held: OrderedDict(reversed(list(enumerate(held)))),
    lambda held: defaultdict(list, {"all": held}),
    deque,
    UserList,
    lambda held: UserDict(enumerate(held)),
    lambda held: ChainMap({"a": held}, {"b": 1}),
    lambda held: Pair(held, len(held)),
    lambda held: Point(*held[:2]) if held else Point(None),
    lambda held: Frozen(tuple(held)),
    lambda held: Open(held, [held]),
    lambda held: Slotted(held),
    lambda held: SimpleNamespace(held=held),
    lambda held: ValueError(*held),
    lambda held: Peculiar(held, 2),
    lambda held: ExceptionGroup("several", [KeyError(*held)]),
    lambda held: [held, held],
]


def value(r: Random, depth: int = 2) -> Any:
    """One of anything."""
    kind = r.random()
    if kind < 0.35 or depth == 0:
        return r.choice(SCALARS)(r)
    if kind < 0.45:
        return r.choice([set, frozenset, Counter])(r.choices(["a", 7, (1, 2), None, Colour.RED], k=3))
    if kind < 0.52:
        return recursive(r)
    if kind < 0.6 and NUMPY:
        return NUMPY[r.randrange(len(NUMPY))]
    return r.choice(HOLDERS)([value(r, depth - 1) for _ in range(r.randint(0, 3))])


def recursive(r: Random) -> Any:
    """It holds itself."""
    ring: list[Any] = [r.randint(0, 9)]
    ring.append({"ring": ring} if r.random() < 0.5 else ring)
    return ring


def values(r: Random, most: int) -> list[Any]:
    """Items of a batch: of one kind, or of many."""
    count = r.randint(0, most)
    if r.random() < 0.4:
        kind = r.choice(PLAIN)
        return [kind(r) for _ in range(count)]
    return [value(r) for _ in range(count)]


def _numpy() -> list[Any]:
    if importlib.util.find_spec("numpy") is None:
        return []
    np = importlib.import_module("numpy")
    return [np.arange(6).reshape(2, 3).T, np.float32(1.5), np.array(["a", None], dtype=object), np.zeros((0, 2))]


NUMPY = _numpy()


def alike(one: Any, other: Any, seen: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether a copy is what it was copied from; of types that have no equality, or a strange one, too."""
    if type(one) is not type(other):
        return False
    if one is other or (id(one), id(other)) in seen:
        return True
    seen |= {(id(one), id(other))}
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
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
