"""Maps over an input without end, and stops when it has seen enough. Memory stays small: the input is only pulled as
far ahead as the workers need, or as far as `buffersize` lets it.

Prints:

    [1, 3, 6, 10, 15, 21, 28, 36]
    The first triangular number with more than 200 divisors is 2031120.
    At most 50 items were pulled ahead: True
"""

from collections.abc import Iterator
from itertools import count, islice

from manycore import Cluster

pulled = 0


def triangular_numbers() -> Iterator[int]:
    """All of them: 1, 1 + 2, 1 + 2 + 3, ..."""
    global pulled
    for n in count(1):
        pulled = n
        yield n * (n + 1) // 2


def divisors(number: int) -> tuple[int, int]:
    return number, sum(2 for d in range(1, int(number**0.5) + 1) if number % d == 0)


with Cluster() as cluster:
    results = cluster.map(divisors, triangular_numbers())
    print([number for number, _ in islice(results, 8)])  # endless: but results come as they are asked for
    del results  # cancels what is still out: an input without end has to be stopped

    results = cluster.map(divisors, triangular_numbers(), buffersize=50)
    read, found = next((n, number) for n, (number, many) in enumerate(results, 1) if many > 200)
    print(f"The first triangular number with more than 200 divisors is {found}.")
    print(f"At most 50 items were pulled ahead: {pulled - read <= 50}")
    del results
