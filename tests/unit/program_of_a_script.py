"""What a script may well define; its tests send it by value, as if it were `__main__`."""

from __future__ import annotations

import asyncio
import enum
import math
from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import KW_ONLY, InitVar, dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

FACTOR = 3
T = TypeVar("T")


class Counter:
    total = 0


@cache
def fibonacci(number: int) -> int:
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def even(number: int) -> bool:
    return number == 0 or odd(number - 1)


def odd(number: int) -> bool:
    return number != 0 and even(number - 1)


class Base:
    __secret = 5

    def __init__(self, x: int) -> None:
        self.x = x

    def get(self) -> int:
        return self.__secret + self.x


class Child(Base):
    def get(self) -> int:
        return 2 * super().get()

    @cached_property
    def root(self) -> float:
        return math.sqrt(self.x)

    @classmethod
    def made(cls, x: int) -> Child:
        return cls(x)


@dataclass(order=True)
class Shape:
    sides: int
    names: list[Any] = field(default_factory=list)
    kinds: ClassVar[int] = 7
    more: InitVar[int] = 2
    _: KW_ONLY
    shade: str = "grey"

    def __post_init__(self, more: int) -> None:
        self.names = [*self.names, more]

    def coloured(self) -> Coloured:
        return Coloured(self.sides, colour="red")


@dataclass
class Coloured(Shape):
    colour: str = "blue"


@dataclass(frozen=True, slots=True)
class Frozen:
    value: int = 5


@dataclass(slots=True)
class Slotted:
    value: int
    more: list[int] = field(default_factory=list)


class Lean:
    __slots__ = ("held",)

    def __init__(self, held: int) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lean) and other.held == self.held


class Named(type):
    def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> Named:
        return super().__new__(cls, name, bases, members | {"title": name.upper()})


class Titled(metaclass=Named):
    title: str


@runtime_checkable
class Valued(Protocol):
    def value(self) -> int: ...


Point = namedtuple("Point", "x y", defaults=[9])


class Row(NamedTuple):
    x: int
    y: str = "z"

    def both(self) -> str:
        return f"{self.x}{self.y}"


class Colour(enum.Enum):
    RED = 1
    BLUE = 2

    def nice(self) -> str:
        return self.name.lower()


class Access(enum.Flag):
    NONE = 0
    READ = 1
    WRITE = 2
    BOTH = READ | WRITE


class Planet(enum.Enum):
    EARTH = (6, 2)
    TERRA = EARTH
    MARS = (5, 1)

    def __init__(self, mass: int, radius: int) -> None:
        self.density = mass / radius


class Labelled(enum.Enum):
    def __new__(cls, value: Any, label: str) -> Any:
        member = object.__new__(cls)
        member._value_ = value
        member.label = label  # type: ignore[attr-defined]
        return member


class Numbered(Labelled):
    ONE = 1, "one"


class Coded(bytes, enum.Enum):
    B = "b", 98

    def __new__(cls, value: str, code: int) -> Any:
        member = bytes.__new__(cls, [code])
        member._value_ = value
        return member


class Operation(enum.Enum):
    PLUS = enum.member(lambda x: x + 1)


class Abstract(ABC):
    @abstractmethod
    def value(self) -> int: ...


class Concrete(Abstract):
    def value(self) -> int:
        return FACTOR


class Box(Generic[T]):
    def __init__(self, held: T) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and other.held == self.held


class Refused(ValueError):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and other.why == self.why


def count(number: int) -> Iterator[int]:
    yield from range(number)


async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number


ONE = Shape(1)
DOUBLED = [(lambda y: 2 * y) for _ in (lambda: [1])()]  # Python 3.12 compiles these two in another order than 3.11


def shaped(number: int, shape: Shape = ONE, *, factor: int = FACTOR) -> int:
    return number * shape.sides * factor


def members() -> list[Any]:
    """What enums have given their members, and what those are called."""
    planet: Any = Planet
    numbered: Any = Numbered
    coded: Any = Coded
    return [
        planet.EARTH.density,
        planet((5, 1)).name,
        planet["TERRA"].name,
        list(planet.__members__),
        Access["NONE"],
        Access["BOTH"],
        list(Access),
        numbered.ONE.label,
        numbered(1),
        bytes(coded.B),
        coded("b") == b"b",
        Operation.PLUS.value(1),
    ]


def everything(number: int) -> list[Any]:
    """Values of its own types, and plain ones."""
    match number:
        case 0:
            return []
    return [
        fibonacci(number),
        even(number),
        Child.made(number).get() + Child(number).root,
        Shape(number),
        Shape(1) < Shape(2, ["a"], shade="white"),
        Shape(number).coloured(),
        Frozen(number),
        Slotted(number, [1]),
        Lean(number),
        Titled.title,
        isinstance(Concrete(), Valued) and not isinstance(number, Valued),
        Point(number),
        Point(1)._replace(y=number),
        Row(number),
        Row(number).both(),
        Colour.RED.nice(),
        Colour.BLUE,
        Access.READ | Access.WRITE,
        *members(),
        Concrete().value(),
        Box(number),
        Refused("no"),
        list(count(number)),
        asyncio.run(later(number)),
        shaped(number),
        [FACTOR * x for x in range(number)],
        max(range(number), key=lambda x: -x) + (lambda x: x)(1),
        DOUBLED[0](number),
    ]
