"""The colours of the Mandelbrot pictures: from how soon a point escapes to a pixel.

It knows nothing of tiles or of complex numbers, and holds one palette.
"""

from __future__ import annotations

from functools import cache
from math import log

RGB = tuple[int, int, int]

INSIDE: RGB = (0, 0, 0)
# One turn of the palette: position in [0, 1] and colour. Night blue, sky, white, amber, wine, and back to night.
STOPS: tuple[tuple[float, RGB], ...] = (
    (0.0, (4, 8, 48)),
    (0.2, (24, 82, 178)),
    (0.42, (226, 246, 250)),
    (0.62, (255, 176, 30)),
    (0.82, (106, 20, 40)),
    (1.0, (4, 8, 48)),
)
SIZE = 4096  # steps in a turn: more than neighbouring pixels can tell apart
TURNS = 0.6  # of the palette for each e-fold of the count: near and far from the set show alike


def colour(count: float | None) -> RGB:
    """The colour of a point that escapes at the smooth iteration count `count`, or never (None)."""
    if count is None:
        return INSIDE
    return _turn()[int(log(max(count, 1.0)) * TURNS * SIZE) % SIZE]


@cache
def _turn() -> tuple[RGB, ...]:
    """One turn of the palette in `SIZE` steps."""
    return tuple(_blend(step / SIZE) for step in range(SIZE))


def _blend(position: float) -> RGB:
    """The palette's colour at a position in [0, 1), eased so that no stop shows as an edge."""
    above = next(i for i, (stop, _) in enumerate(STOPS) if stop > position)
    (start, low), (stop, high) = STOPS[above - 1], STOPS[above]
    share = (position - start) / (stop - start)
    eased = share * share * (3 - 2 * share)  # smoothstep: level at both stops
    red, green, blue = (round(a + (b - a) * eased) for a, b in zip(low, high, strict=True))
    return red, green, blue
