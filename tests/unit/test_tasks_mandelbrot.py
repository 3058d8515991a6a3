"""`tasks.mandelbrot` draws the same picture however it is tiled, and writes it as a valid PNG."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mandelbrot import View, assemble, render_tile, tiles, write_png
from tasks.palette import INSIDE, SIZE, colour

SMALL = View(-0.65 + 0j, 2.5, 60, samples=1)


def picture(width: int, height: int, rows: int, view: View = SMALL) -> bytes:
    cut = tiles(width, height, rows=rows, view=view)
    return assemble(cut, map(render_tile, cut))


@given(st.integers(1, 50), st.integers(1, 500), st.integers(1, 600))
def test_tiles_cover_every_row_once(width: int, height: int, rows: int) -> None:
    cut = tiles(width, height, rows=rows)
    assert [row for tile in cut for row in range(tile.top, tile.bottom)] == list(range(height))


@pytest.mark.parametrize("rows", [1, 5, 7, 100])
def test_the_cut_does_not_show(rows: int) -> None:
    assert picture(24, 18, rows) == picture(24, 18, 18)


def test_points_inside_the_set_are_black_and_points_outside_are_not() -> None:
    assert picture(1, 1, 1, View(0j, 0.001, 200)) == bytes(INSIDE)
    assert picture(1, 1, 1, View(-1 + 0j, 0.001, 200)) == bytes(INSIDE)  # the cycle 0, -1, 0, -1, ...
    assert picture(1, 1, 1, View(1 + 0j, 0.001, 200)) != bytes(INSIDE)  # 0, 1, 2, 5, 26, ...


def test_the_set_is_its_own_mirror_image() -> None:
    pixels = picture(16, 12, 12)
    rows = [pixels[at : at + 48] for at in range(0, len(pixels), 48)]
    assert rows == rows[::-1]


def test_parts_may_be_assembled_in_any_order() -> None:
    cut = tiles(8, 9, rows=2, view=SMALL)[::-1]
    assert assemble(cut, map(render_tile, cut)) == picture(8, 9, 9)


def test_missing_repeated_or_truncated_parts_are_refused() -> None:
    cut = tiles(4, 4, rows=1)
    parts = [bytes(12)] * 4
    for bad_tiles, bad_parts in (
        (cut[:3], parts[:3]),
        (cut[1:], parts[1:]),
        (cut[:3] + cut[2:3], parts),
        (cut, parts[:3]),
        (cut, [*parts[:3], b"short"]),
        ([], []),
    ):
        with pytest.raises(ValueError, match=r"picture ends|do not continue|shorter"):
            assemble(bad_tiles, bad_parts)


def test_the_png_holds_the_pixels(tmp_path: Path) -> None:
    pixels = bytes(range(18))
    write_png(tmp_path / "tile.png", 3, 2, pixels)
    data = (tmp_path / "tile.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert chunks[b"IHDR"] == struct.pack(">2I5B", 3, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(chunks[b"IDAT"]) == b"\0" + pixels[:9] + b"\0" + pixels[9:]


def test_pixels_that_do_not_fill_the_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are not 3 x 2 RGB pixels"):
        write_png(tmp_path / "tile.png", 3, 2, bytes(17))
    assert not list(tmp_path.iterdir())


@given(st.floats(-10, 1e6))
def test_colours_have_no_edges(count: float) -> None:
    here, near = colour(count), colour(count + 1e-4 * abs(count))
    assert max(abs(a - b) for a, b in zip(here, near, strict=True)) <= 4, SIZE


@pytest.mark.parametrize(("width", "height", "rows"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_pictures_without_pixels_are_refused(width: int, height: int, rows: int) -> None:
    with pytest.raises(ValueError, match="Cannot tile"):
        tiles(width, height, rows=rows)


@pytest.mark.parametrize(("span", "max_iterations", "samples"), [(0.0, 1, 1), (1.0, 0, 1), (1.0, 1, 0)])
def test_views_that_show_nothing_are_refused(span: float, max_iterations: int, samples: int) -> None:
    with pytest.raises(ValueError, match="shows nothing"):
        View(0j, span, max_iterations, samples)
