"""Values of every kind that pickles, drawn by hypothesis."""

from __future__ import annotations

import datetime
import importlib
import importlib.util
import operator
import re
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.integration.model.kinds import Bits, Colour, Frozen, Open, Pair, Peculiar, Point, Slotted, Text


def _numpy() -> list[Any]:
    if importlib.util.find_spec("numpy") is None:
        return []
    np = importlib.import_module("numpy")
    return [np.arange(6).reshape(2, 3).T, np.float32(1.5), np.array(["a", None], dtype=object), np.zeros((0, 2))]


PLAIN: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.builds(operator.lshift, st.sampled_from([1, -1]), st.sampled_from([31, 63, 64, 200, 5_000])),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=20),
    st.sampled_from(["\0", "\ud800", "line\nline"]),
    st.builds(operator.mul, st.sampled_from(["a", b"x"]), st.sampled_from([20_000, 70_000])),
    st.binary(max_size=20),
)
"""Those that are sent together, unpickled by nobody's code."""

SCALARS: SearchStrategy[Any] = st.one_of(
    PLAIN,
    st.decimals(),
    st.fractions(),
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC])),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.builds(PurePosixPath, st.sampled_from(["a", "a/b"])),
    st.slices(5),
    st.sampled_from([range(3), ..., NotImplemented, int, Colour, len, operator.add]),
    st.sampled_from([*Colour, *Bits, Bits.A | Bits.B]),
    st.sampled_from([re.compile("a+"), re.compile("(?i)x")]),
    st.builds(Text, st.text(max_size=5)),
    st.binary(max_size=5).map(bytearray),
    st.lists(st.floats(width=64), max_size=3).map(lambda held: array("d", held)),
    st.builds(partial, st.just(max), st.integers()),
)

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
    Slotted,
    lambda held: SimpleNamespace(held=held),
    lambda held: ValueError(*held),
    lambda held: Peculiar(held, 2),
    lambda held: ExceptionGroup("several", [KeyError(*held)]),
    lambda held: [held, held],
]


def ring(number: int, *, through: bool) -> Any:
    """It holds itself."""
    held: list[Any] = [number]
    held.append({"ring": held} if through else held)
    return held


def holding(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    held = st.lists(inner, max_size=3)
    return st.builds(lambda holder, values: holder(values), st.sampled_from(HOLDERS), held)


_KEYS = st.lists(st.sampled_from(["a", 7, (1, 2), None, Colour.RED]), max_size=3)
_SHALLOW = st.one_of(
    SCALARS,
    st.builds(lambda kind, held: kind(held), st.sampled_from([set, frozenset, Counter]), _KEYS),
    st.builds(ring, st.integers(0, 9), through=st.booleans()),
    st.sampled_from(_numpy() or [None]),
)
VALUES: SearchStrategy[Any] = st.one_of(_SHALLOW, holding(_SHALLOW), holding(holding(_SHALLOW)))
"""One of anything."""

ITEMS: SearchStrategy[list[Any]] = st.one_of(
    st.lists(VALUES, max_size=6),
    st.builds(operator.mul, st.lists(PLAIN, min_size=1, max_size=4), st.integers(0, 30)),
    st.builds(operator.mul, st.lists(VALUES, min_size=1, max_size=3), st.integers(0, 20)),
)
"""Of a batch: of one kind, or of many; a few, or up to some hundred."""
