"""A glimpse of values, for people: short, whatever their size, and without running anybody's code.

What is not of Python's own plain types is shown by the name of its type alone: its `repr` may do anything, and take any
time. So is the value of a keyword that is called like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import PosixPath, WindowsPath
from typing import Any

MAX_TEXT = 180
"""Characters of a text that are shown."""
MAX_CALL = 1_000
MAX_PARTS = 6
"""Of a list, and of a call's arguments."""
MAX_BITS = 200
"""Of a number: its digits take time that grows with their square."""
_AS_IT_IS = frozenset({type(None), bool, float, complex, date, datetime, timedelta, PosixPath, WindowsPath})
_TIME_ZONES = ("builtins", "datetime", "zoneinfo")
"""The modules of those that are Python's own, or None."""
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("{", "}")}
_SECRET = re.compile(r"passw|passphrase|secret|token|credential|api_?key", re.IGNORECASE)


def glimpse(value: Any, depth: int = 2) -> str:
    """What is shown of a value, and of what it holds down to this depth."""
    kind = type(value)
    if kind is datetime and type(value.tzinfo).__module__ not in _TIME_ZONES:
        value = value.replace(tzinfo=None)
    if kind in _AS_IT_IS:
        return repr(value)[:MAX_TEXT]
    if kind is int:
        return repr(value) if value.bit_length() <= MAX_BITS else f"<int of {value.bit_length():,} bits>"
    if kind in (str, bytes, bytearray):
        return repr(value) if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]!r}..."
    if kind in _BRACKETS:
        first, last = _BRACKETS[kind]
        one = "," if kind is tuple and len(value) == 1 else ""
        parts = (glimpse(each, depth - 1) for each in value)
        return f"{first}{_joined(parts, len(value)) if depth else '...' * bool(value)}{one}{last}"
    if kind is dict:
        return f"{{{_joined(_pairs(value, depth), len(value)) if depth else '...' * bool(value)}}}"
    return f"<{kind.__name__}>"


def keywords(kwargs: Mapping[str, Any]) -> str:
    """Keyword arguments, as in a call."""
    shown = (f"{name}={'<hidden>' if _SECRET.search(name) else glimpse(value)}" for name, value in kwargs.items())
    try:
        return _joined(shown, len(kwargs))
    except RuntimeError:  # its owner changes one of them meanwhile
        return "..."


def call(name: str, item: Any, form: str, with_keywords: str) -> str:
    """The call that an item becomes (`CallForm`), with the keyword arguments of its batch."""
    try:
        whole = form == "star" and type(item) in (tuple, list)
        arguments = _joined(map(glimpse, item), len(item)) if whole else "*" * (form == "star") + glimpse(item)
    except RuntimeError:  # its owner changes it meanwhile
        arguments = "..."
    whole_call = f"{name}({', '.join(filter(None, (arguments, with_keywords)))})"
    return whole_call if len(whole_call) <= MAX_CALL else f"{whole_call[:MAX_CALL]}..."


def _pairs(value: dict[Any, Any], depth: int) -> Iterator[str]:
    for key, each in value.items():
        hidden = type(key) is str and _SECRET.search(key)
        yield f"{glimpse(key, 0)}: {'<hidden>' if hidden else glimpse(each, depth - 1)}"


def _joined(parts: Iterable[str], count: int) -> str:
    shown = list(islice(parts, MAX_PARTS))
    return ", ".join([*shown, "..."] if count > MAX_PARTS else shown)
