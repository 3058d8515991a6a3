"""Finds the longest Collatz chain that starts in a range.

A chain goes from n to n / 2 if n is even, else to 3n + 1, until it reaches 1. Its length jumps from number to number
(below 10^6: 131 steps on average, 524 at most), so short ranges cost unequal time; long ones even it out. It keeps no
memo: the same range always costs the same.

Source: OEIS A006877 (record starts) and A006878 (their steps); Project Euler, problem 14.
"""

from __future__ import annotations

from collections.abc import Iterable

from manycore import task

Chain = tuple[int, int]  # (starting number, steps to reach 1)


@task
def longest_collatz(start: int, stop: int) -> Chain:
    """The number in [start, stop) with the longest chain, and its steps; the smallest such number on a tie.

    Raises `ValueError` for an empty range or one that reaches below 1, where chains never end.
    """
    if not 1 <= start < stop:
        raise ValueError(f"No Collatz chain starts in [{start}, {stop}). Pass 1 <= start < stop: 0 never reaches 1.")
    return longest((number, _steps(number)) for number in range(start, stop))


def longest(chains: Iterable[Chain]) -> Chain:
    """The longest of several chains, in any order; the smallest number on a tie. Raises `ValueError` for none."""
    best = max(chains, key=lambda chain: (chain[1], -chain[0]), default=None)
    if best is None:
        raise ValueError("There is no longest of no chains. Was the batch empty? Pass one chain or more.")
    return best


def _steps(number: int) -> int:
    """The steps from `number` to 1."""
    steps = 0
    while number != 1:
        if number & 1:
            number = (3 * number + 1) >> 1  # 3n + 1 of an odd n is even: both steps at once
            steps += 2
        else:
            number >>= 1
            steps += 1
    return steps
