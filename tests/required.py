"""What tests need that is not always there: without it they skip, and in CI they fail."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip; in CI, fail."""
    if os.environ.get("MANYCORE_REQUIRE_ALL") == "1":
        pytest.fail(f"MANYCORE_REQUIRE_ALL=1, and {reason}")
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        missing(f"there is no {name} on PATH (Debian: apt-get install {package})")
    return path
