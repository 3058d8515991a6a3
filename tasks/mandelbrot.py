"""Renders the Mandelbrot set in tiles of whole rows, and writes the picture as a PNG.

Tiles cost very unequal time: points inside the set run to the iteration limit, and no shortcut spares them. It does
not zoom beyond what a float resolves (a span of about 1e-12).

Sources: smooth colouring, L. Vepstas, "Renormalizing the Mandelbrot Escape" (1997); PNG, W3C/ISO 15948.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import log, log2
from os import PathLike
from pathlib import Path

from manycore import task
from tasks.palette import colour

BAILOUT_SQUARED = float(1 << 16)  # far outside |z| = 2: the smooth count's error falls with the bailout radius


@dataclass(frozen=True, slots=True)
class View:
    """What to look at: the centre, the height of the picture in the complex plane, and how long to iterate.

    Each pixel is the mean of samples x samples points: 1 is fast, 2 is smooth and costs four times as much.
    Raises `ValueError` if nothing would show.
    """

    centre: complex
    span: float
    max_iterations: int
    samples: int = 2

    def __post_init__(self) -> None:
        if not self.span > 0 or min(self.max_iterations, self.samples) < 1:
            raise ValueError(f"{self} shows nothing. Give a span above 0, and 1 iteration and 1 sample or more.")


WHOLE_SET = View(-0.65 + 0j, 2.5, 500)
SEAHORSES = View(-0.7433 + 0.1313j, 0.0026, 2000)
SPIRAL = View(-0.77568377 + 0.13646737j, 0.0002, 3000)


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows top <= row < bottom of a picture of width x height pixels of `view`."""

    width: int
    height: int
    top: int
    bottom: int
    view: View

    def __post_init__(self) -> None:
        if self.width < 1 or not 0 <= self.top < self.bottom <= self.height:
            raise ValueError(f"{self} has no pixels. Give a width of 1 or more and 0 <= top < bottom <= height.")


@task
def render_tile(tile: Tile) -> bytes:
    """The tile's pixels: 3 bytes (red, green, blue) each, row by row, (bottom - top) * width * 3 bytes in all."""
    view, size = tile.view, tile.view.span / tile.height
    left = view.centre.real - size * tile.width / 2
    top = view.centre.imag + size * tile.height / 2
    pixels = bytearray()
    for row, column in product(range(tile.top, tile.bottom), range(tile.width)):
        pixels += _pixel(left + column * size, top - row * size, size, view)
    return bytes(pixels)


def tiles(width: int, height: int, *, rows: int = 8, view: View = SEAHORSES) -> list[Tile]:
    """Tiles of `rows` rows (the last may have fewer) that cover every row once, from the top.

    Raises `ValueError` for a picture or tiles without pixels.
    """
    if min(width, height, rows) < 1:
        raise ValueError(f"Cannot tile {width} x {height} pixels by {rows} rows. Make all three 1 or more.")
    return [Tile(width, height, top, min(top + rows, height), view) for top in range(0, height, rows)]


def assemble(tiles: Sequence[Tile], parts: Iterable[bytes]) -> bytes:
    """The whole picture's pixels from each tile's, given in the order of `tiles`, which itself may be any.

    Raises `ValueError` if a part is missing or has another size than its tile, or the tiles are not one picture.
    """
    pairs = sorted(zip(tiles, parts, strict=True), key=lambda pair: pair[0].top)
    next_row = 0
    for tile, part in pairs:
        if tile.top != next_row or len(part) != (tile.bottom - tile.top) * tile.width * 3:
            raise ValueError(f"{len(part)} bytes do not continue row {next_row} as {tile}. Pass each tile's part once.")
        next_row = tile.bottom
    if not pairs or next_row != pairs[0][0].height:
        raise ValueError(f"The picture ends after row {next_row}: tiles are missing. Pass all that tiles() gave.")
    return b"".join(part for _, part in pairs)


def write_png(path: str | PathLike[str], width: int, height: int, pixels: bytes) -> None:
    """Write RGB pixels (3 bytes each, row by row from the top) as a PNG. Raises `ValueError` for another number."""
    if min(width, height) < 1 or len(pixels) != width * height * 3:
        raise ValueError(
            f"{len(pixels)} bytes are not {width} x {height} RGB pixels. Pass what assemble() gave, and its size."
        )
    stride = width * 3
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride))  # 0: no row filter
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, colour type 2 = RGB
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def _pixel(left: float, top: float, size: float, view: View) -> bytes:
    """The mean colour of a square pixel, from points at the centres of its samples x samples parts."""
    offsets = [(part + 0.5) * size / view.samples for part in range(view.samples)]
    points = [_escape(left + x, top - y, view.max_iterations) for y, x in product(offsets, offsets)]
    return bytes(sum(channel) // len(points) for channel in zip(*map(colour, points), strict=True))


def _escape(cx: float, cy: float, max_iterations: int) -> float | None:
    """The smooth iteration count at which z -> z^2 + c escapes, or None if it has not by the limit."""
    x = y = xx = yy = 0.0  # two floats rather than a complex: abs() would take a square root each time
    for count in range(max_iterations):
        y = 2.0 * x * y + cy
        x = xx - yy + cx
        xx = x * x
        yy = y * y
        if xx + yy > BAILOUT_SQUARED:
            return count + 1 - log2(log(xx + yy) / log(BAILOUT_SQUARED))
    return None


def _chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk: length, kind, data, and a CRC over the last two."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
