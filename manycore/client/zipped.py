"""Modules in a zip file (zipapp, or a zip on the path): files below a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from zipfile import BadZipFile, ZipFile

ERRORS = (OSError, ValueError, KeyError, BadZipFile, NotImplementedError, RuntimeError)
"""What reading a zip raises that is none, is gone, or is encrypted."""


def zip_of(file: str) -> str | None:
    """The zip file above this path; None if there is no file above it."""
    above = os.path.dirname(file)
    while above and not os.path.exists(above):
        above = os.path.dirname(above)
    return above if os.path.isfile(above) else None


def read(file: str) -> bytes | None:
    """The content of a file in a zip; None for one that cannot be read."""
    place = zip_of(file)
    if place is None:
        return None
    try:
        with ZipFile(place) as opened:
            return opened.read(os.path.relpath(file, place).replace(os.sep, "/"))
    except ERRORS:
        return None


def files_below(folder: str) -> Iterator[str]:
    """The paths of all files in this folder of a zip."""
    place = zip_of(folder + os.sep)
    if place is None:
        return
    inside = os.path.relpath(folder, place).replace(os.sep, "/") + "/"
    try:
        with ZipFile(place) as opened:
            names = sorted(opened.namelist())
    except ERRORS:
        return
    yield from (os.path.join(place, name) for name in names if name.startswith(inside))
