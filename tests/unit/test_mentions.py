"""What a function of a prompt or a notebook imports is found in its code, and in that of what it refers to."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from manycore.client.mentions import mentions_of

CELL = """
import functools, json

def direct(n):
    import tm_a
    return tm_a

def deep(n):
    def inner():
        from tm_b.c import d, e
        return lambda: __import__("tm_no")
    return inner

def other(n):
    return direct(n), deep(n), json.dumps(n)

class Thing:
    @property
    def p(self):
        import tm_c
    @staticmethod
    def s():
        import tm_d
    @classmethod
    def c(cls):
        import tm_e
    def m(self):
        import tm_f
    def __call__(self):
        pass

def makes(n):
    return Thing

def closes():
    held = direct
    def inner(n):
        return held(n)
    return inner

def circle(n):
    return circle(n), again(n)

def again(n):
    import tm_g
    return circle(n)
"""
THING = {"tm_c", "tm_d", "tm_e", "tm_f"}


@pytest.fixture(scope="module")
def cell() -> dict[str, Any]:
    """As a cell makes it: in a namespace called `__main__`, and in no file."""
    made: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(CELL, "<cell>", "exec"), made)
    return made


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("direct", {"tm_a"}),
        ("deep", {"tm_b.c", "tm_b.c.d", "tm_b.c.e"}),
        ("other", {"tm_a", "tm_b.c", "tm_b.c.d", "tm_b.c.e"}),
        ("makes", THING),
        ("circle", {"tm_g"}),
    ],
)
def test_the_imports_of_a_function(name: str, names: set[str], cell: dict[str, Any]) -> None:
    assert mentions_of([cell[name]]) == names


def test_of_whatever_can_be_called(cell: dict[str, Any]) -> None:
    thing = cell["Thing"]
    assert mentions_of([cell["closes"]()]) == {"tm_a"}
    assert mentions_of([functools.partial(map, cell["direct"])]) == {"tm_a"}
    for called in (thing, thing(), thing().m, thing.c, thing.s):
        assert mentions_of([called]) <= THING
        assert mentions_of([called])


def test_what_workers_import_by_name_is_not_looked_into() -> None:
    assert mentions_of([json.dumps, len, None, 7, mentions_of]) == set()
