"""Puts an object once and lets many items use it: there is one copy of it on a machine, which all processes map.

NumPy arrays, Arrow tables and pandas frames work alike. A value that items share is kept once also without `put`.

Prints:

    64 MB, put once: <Ref to 64,000,128 bytes>
    Sums of its quarters: [2040000000, 2040000000, 2040000000, 2040000000]
    The same without put: True
"""

from itertools import repeat

from manycore import Cluster

QUARTER = 16_000_000


def total(data: memoryview, start: int) -> int:
    return sum(data[start : start + QUARTER])


with Cluster() as cluster:
    data = memoryview(bytes(range(256)) * 250_000)
    ref = cluster.put(data)
    print("64 MB, put once:", ref)
    starts = range(0, len(data), QUARTER)
    sums = list(cluster.map(total, repeat(ref), starts))
    print("Sums of its quarters:", sums)
    print("The same without put:", list(cluster.map(total, repeat(data), starts)) == sums)
