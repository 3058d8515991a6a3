"""A fingerprint is the same in every process for what gives the same results, and another one for anything else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from manycore.protocol.fingerprint import digest_of, digest_of_items

SCRIPT = """
import dataclasses, datetime, decimal, enum, functools, pathlib, sys, typing
from manycore.protocol.record import Identity

RATE = 3
class Colour(enum.Enum):
    RED = 1
class Pair(typing.NamedTuple):
    one: int
@dataclasses.dataclass
class Point:
    x: float
    tags: set = dataclasses.field(default_factory=set)
    def norm(self): return self.x * RATE
class Plain:
    def __init__(self): self.held = {"a", "b", "c"}
    def __call__(self, n): return helper(n)
    def run(self, n): return n
class Bag(set): pass
@functools.cache
def cached(n): return n
@functools.singledispatch
def single(n): return n
@single.register
def _(n: int): return n + 1
def helper(n): return n in {"x", "y", "z"}
def work(n, k=frozenset("abc")): return helper(n) or RATE
tag = "".join(["t", "ag"])
single(1), single("a")
items = [Point(1.0, {"p", "q", "r"}), Colour.RED, Pair(1), Plain(), Bag("abc"), frozenset("abc"), {"k": {1, "b"}}, tag,
         "tag", tag, float("nan"), 10 ** 5000, "\\ud800", datetime.date(2026, 1, 1), decimal.Decimal("1.10"),
         pathlib.Path("a/b"), Point, work, lambda n: n]
items.append(items)
plain = Plain()
for function in (work, cached, single, plain, plain.run, functools.partial(work, k={"a", "b"}), lambda n: helper(n)):
    print(Identity.of(function, {"b": {"s", "t"}, "a": 1}, items, len(items)))
"""


def outputs(script: str, *seeds: str) -> set[str]:
    root = str(Path(__file__).parents[2])
    found = set()
    for seed in seeds:
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    return found


def test_it_is_the_same_in_every_process() -> None:
    same = outputs(SCRIPT, "1", "2", "random")
    assert len(same) == 1
    assert len(set(same.pop().splitlines())) == 7


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 3", "RATE = 4"),
        ('"x", "y", "z"}', '"x", "y"}'),
        ('k=frozenset("abc")', 'k=frozenset("abd")'),
        ("self.x * RATE", "self.x + RATE"),
        ("RED = 1", "RED = 2"),
        ("n + 1", "n + 2"),
        ("return n in", "return n not in"),
    ],
)
def test_what_changes_results_changes_it(old: str, new: str) -> None:
    assert old in SCRIPT
    assert outputs(SCRIPT, "1") != outputs(SCRIPT.replace(old, new), "1")


def scaled(value: int, k: int = 1) -> int:
    return value * k


class Counting:
    def __init__(self, by: int) -> None:
        self.by = by

    def add(self, value: int) -> int:
        return value + self.by


def closing(over: Any) -> Any:
    return lambda value: (value, over)


def nested(depth: int) -> list[Any]:
    held: list[Any] = []
    for _ in range(depth):
        held = [held]
    return held


DIFFERENT: list[tuple[Any, Any]] = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    ("a", b"a"),
    ([1], (1,)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (["ab", "c"], ["a", "bc"]),
    ([[1], [2]], [[1, 2]]),
    ({1}, frozenset({1})),
    (bytes(10**6), bytes(10**6 + 1)),
    (range(3), range(4)),
    (Decimal("1.0"), Decimal("1.00")),
    (deque([1]), deque([1], 5)),
    (functools.partial(scaled, k=1), functools.partial(scaled, k=2)),
    (Counting(1).add, Counting(2).add),
    (closing(1), closing(2)),
    ("abc".upper, "abd".upper),
    (functools.lru_cache(1)(scaled), functools.lru_cache(2)(scaled)),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs_has_another(one: Any, other: Any) -> None:
    assert digest_of(one) != digest_of(other)
    assert digest_of_items([one, object()]) != digest_of_items([other, object()])


def test_the_same_twice_is_as_good_as_two_that_are_equal() -> None:
    one, other = ["x" * 100], ["x" * 99 + "x"]
    assert digest_of([one, one]) == digest_of([one, other])


def test_what_holds_itself_or_is_deep_has_one() -> None:
    held: list[Any] = [object()]
    held.append(held)
    assert len(digest_of(held)) == len(digest_of(nested(100_000)))


def test_what_is_shared_again_and_again_is_walked_once() -> None:
    held: Any = [object()]
    for _ in range(50):
        held = [held, held]
    assert digest_of(held) == digest_of(held)


class Stubborn:
    def __reduce__(self) -> Any:
        raise LookupError("not me")


@pytest.mark.parametrize("make", [threading.Lock, Stubborn, lambda: (n for n in "a")])
def test_what_has_no_form_goes_by_its_type(make: Any) -> None:
    assert digest_of(make()) == digest_of(make()) != digest_of(object())
