"""What people are shown of values: short, of any size, and nobody's code runs for it."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.protocol.glimpse import call, glimpse, keywords


class Bomb:
    def __repr__(self) -> str:
        raise AssertionError("somebody's code was run")

    __str__ = __hash__ = __eq__ = __lt__ = __len__ = __repr__  # type: ignore[assignment]


class Sly(list[int]):
    __repr__ = Bomb.__repr__


class Zone(tzinfo):
    __repr__ = __str__ = utcoffset = dst = tzname = Bomb.__repr__  # type: ignore[assignment]


NOON = datetime(2026, 11, 27, 12)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        (7, "7"),
        (10**60, f"{10**60}"),
        ("a'b", '"a\'b"'),
        ("\x1b[31m", r"'\x1b[31m'"),
        (b"\x00", r"b'\x00'"),
        ([1, (2,), {"k": {3}}], "[1, (2,), {'k': {...}}]"),
        (list(range(10**6)), "[0, 1, 2, 3, 4, 5, ...]"),
        (Bomb(), "<Bomb>"),
        ([Bomb(), Sly()], "[<Bomb>, <Sly>]"),
        (Bomb, "<type>"),
        ({"password": "hunter2", "n": 1}, "{'password': <hidden>, 'n': 1}"),
        (date(2026, 11, 26), "datetime.date(2026, 11, 26)"),
        (Path("/x"), "PosixPath('/x')"),
        (NOON, "datetime.datetime(2026, 11, 27, 12, 0)"),
        (NOON.replace(tzinfo=Zone()), "datetime.datetime(2026, 11, 27, 12, 0)"),
        (NOON.replace(tzinfo=UTC), "datetime.datetime(2026, 11, 27, 12, 0, tzinfo=datetime.timezone.utc)"),
    ],
)
def test_a_value(value: Any, shown: str) -> None:
    assert glimpse(value) == shown


def test_large_values_are_short() -> None:
    assert glimpse(10**10_000) == "<int of 33,220 bits>"
    for value in ("x" * 10**7, b"x" * 10**7, [["x" * 10**6] * 10**5] * 100, dict.fromkeys(range(10**5), "x" * 999)):
        assert len(glimpse(value)) < 50_000


def test_a_call_reads_as_it_is_written() -> None:
    options = keywords({"batch": "b", "seconds": 0.5, "api_key": "k", "on": Bomb()})
    assert options == "batch='b', seconds=0.5, api_key=<hidden>, on=<Bomb>"
    assert call("tasks.note", 3, "item", options) == f"tasks.note(3, {options})"
    assert call("f", (1, "two"), "star", "") == "f(1, 'two')"
    assert call("f", range(2), "star", "") == "f(*<range>)"
    assert call("f", (), "star", "") == "f()"
    assert len(call("f", [["x" * 999] * 9] * 9, "item", "")) < 1_010
    assert keywords({f"k{n}": n for n in range(9)}).endswith("k5=5, ...")


def test_what_holds_itself_has_an_end() -> None:
    growing: list[Any] = [0]
    growing.append(growing)  # it holds itself
    assert glimpse(growing) == "[0, [0, [...]]]"


@given(
    st.recursive(st.integers() | st.text() | st.none(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_small_plain_values_are_shown_as_python_does(value: Any) -> None:
    shown = glimpse(value)
    assert len(shown) < 60_000
    if "..." not in shown and "<" not in shown:
        assert shown == repr(value)


def test_keywords_that_change_meanwhile_are_not_shown() -> None:
    class Changing(dict[str, Any]):
        """As a dictionary to which another thread adds something just now."""

        def items(self) -> Any:
            for name in super().items():
                self[f"more{len(self)}"] = 1
                yield name

    assert keywords(Changing(batch="b")) == "..."
