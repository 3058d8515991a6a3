"""What a script defines runs on the cluster, however it was wrapped: the workers have another `__main__`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEFINITIONS = """
import typing
from functools import cache, cached_property, lru_cache, partial, singledispatch, singledispatchmethod, wraps

import numpy as np

from manycore import Cluster

@cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@lru_cache(maxsize=3, typed=True)
def few(n):
    "Few."
    return n + 1

@singledispatch
def size(value):
    return -1

@size.register
def _(value: int):
    return value

@size.register(list)
def _(value):
    return sum(map(size, value))

def loud(function):
    @wraps(function)
    def wrapped(n):
        return function(n) + 1000
    return wrapped

def times(a, b):
    return a * b

def outer(k):
    @cache
    def inner(n):
        return n + k
    return inner

@cache
def scaled(n):
    return scaled.factor * n
scaled.factor = 4

def up(n):
    return down(n - 1) if n > 0 else 0

@cache
def down(n):
    return up(n - 1)

@cache
class Once:
    def __init__(self, n):
        self.n = n

class Item:
    def __str__(self):
        return "an item"

Metres = typing.NewType("Metres", int)

class Shape:
    def __init__(self, k=2):
        self.k = k
    def bound(self, n):
        return self.k + n
    def __call__(self, n):
        return self.k * n
    @staticmethod
    def static(n):
        return n + 100
    @classmethod
    def made(cls, n):
        return cls().k * n
    @cache
    def kept(self, n):
        return self.k * n
    @cached_property
    def double(self):
        return 2 * self.k
    @singledispatchmethod
    def generic(self, n):
        return "?"
    @generic.register
    def _(self, n: int):
        return n + self.k
"""
FUNCTIONS = """
fibonacci
few
size
loud(partial(times, 3))
loud(fibonacci)
cache(loud(abs))
loud(cache(lambda n: n))
lru_cache(partial(times, b=9))
partial(lambda a, n: a + n, 5)
partial(fibonacci)
outer(3)
scaled
up
down
Shape(3).bound
Shape(4)
Shape.static
Shape.made
Shape(5).kept
Shape(6).generic
lambda n: size([n, [n, "x"]])
lambda n: (few.cache_parameters(), few.__name__, few.__doc__, few.__module__, size.__name__, size.dispatch(int)(n))
lambda n: (Once(n) is Once(n), Shape(n).double, Metres(n))
""".strip().splitlines()
MAIN = """
if __name__ == "__main__":
    with Cluster(workers=2) as cluster:
        assert [shape.k for shape in cluster.map(lambda shape: Shape(shape.k + 1), [Shape(1), Shape(2)])] == [2, 3]
        assert list(cluster.map(str, [Item()])) == ["an item"]
        assert cluster.submit(lambda held: held[0](1), cluster.put([lambda n: n + 1])).result(timeout=30) == 2
        large = [lambda n: n + 2, np.ones(1 << 18)]
        assert list(cluster.map(lambda held, n: held[0](n), [large] * 40, range(40))) == list(range(2, 42))
        large = [lambda n: n + 3, np.ones(1 << 18)]
        assert cluster.batch(lambda n, held: held[0](n), [1, 2], kwargs={"held": large}).gather() == [4, 5]
        for number, function in enumerate([FUNCTIONS]):
            expected = list(map(function, range(5)))
            assert [cluster.submit(function, n).result(timeout=30) for n in range(5)] == expected, number
            assert list(cluster.map(function, range(5), timeout=30)) == expected, number
            assert cluster.batch(function, range(5)).gather() == expected, number
            assert cluster.batch(function, range(5), id=str(number)).gather() == expected, number
"""
AS_SOURCE = """
from manycore.protocol.roster import Roster
from manycore.protocol import byvalue
Roster.other_python = lambda self, queue=None: (3, 99)
byvalue.here = lambda: (3, 98)  # no worker takes what goes as byte code all the same
"""
NAMED = """
MISSING = type("Missing", (), {"__reduce__": lambda self: "MISSING"})()

if __name__ == "__main__":
    with Cluster(workers=1) as cluster:
        try:
            cluster.submit(lambda n: n is MISSING, 1).result(timeout=30)
        except Exception as exc:
            print(type(exc).__name__, exc)
"""


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(text)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONPATH")}
    command = [sys.executable, str(script)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize(
    "head", ["", pytest.param(AS_SOURCE, marks=pytest.mark.slow)], ids=["as byte code", "as source"]
)
def test_a_scripts_functions_run_through_every_door(head: str, tmp_path: Path) -> None:
    functions = ", ".join(f"({function})" for function in FUNCTIONS)
    done = run(tmp_path, head + DEFINITIONS + MAIN.replace("FUNCTIONS", functions))
    assert done.returncode == 0, done.stderr


def test_what_pickles_itself_as_a_name_of_the_script_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "from manycore import Cluster\n" + NAMED)
    assert "NotPicklable" in done.stdout, done.stderr
    assert "it pickles itself as __main__.MISSING" in done.stdout
