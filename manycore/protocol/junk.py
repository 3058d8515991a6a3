"""Reads what anybody may have written: most keys of ours are not signed, and say no more than what is shown or counted.

JSON and `float` take more than we ever write: NaN, 1e999, a number of a thousand digits, a hundred thousand brackets.
What came of those would raise errors far from where it was read. So each reader takes its numbers from here, and
catches `UNREADABLE` where it knows what to do without. What is signed needs neither.
"""

from __future__ import annotations

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What it raises to read something that none of us wrote: of another form or type, too large, nested too deeply."""
LARGEST = 2**53
"""Up to here a float can tell one whole number from the next. We count no further, and sums of them stay numbers."""
LATEST = 253_402_300_000.0
"""Near the end of the year 9999, the last that a date can have."""
Written = str | bytes | float


def number(found: Written) -> float:
    """Raises one of `UNREADABLE` for what is none, or none that we would write."""
    told = float(found)
    if not abs(told) <= LARGEST:  # nor is NaN
        raise ValueError(f"no number of ours: {told}")
    return told


def whole(found: Written) -> int:
    """The same of a whole number."""
    told = int(found)
    if abs(told) > LARGEST:
        raise ValueError("too large a number to be ours")
    return told


def moment(found: Written) -> float:
    """The same of epoch seconds, which a date can be made of."""
    told = number(found)
    if not 0.0 <= told <= LATEST:
        raise ValueError(f"no moment of ours: {told}")
    return told
