"""Versions of Python, as far as they matter: the minor one, which byte code is bound to."""

from __future__ import annotations

import sys
from typing import TypeAlias

Python: TypeAlias = tuple[int, int]


def here() -> Python:
    """That of this process."""
    return sys.version_info[0], sys.version_info[1]


def parse(text: str) -> Python:
    """Read `3.13`. Raises `ValueError`."""
    major, minor = text.split(".")
    return int(major), int(minor)


def written(python: Python) -> str:
    """`3.13`."""
    return ".".join(map(str, python))


def shown(python: Python) -> str:
    """As messages call it."""
    return f"Python {written(python)}"
