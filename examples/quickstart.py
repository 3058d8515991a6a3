"""Runs functions on every core: one call, many items, and a batch to watch.

Prints:

    1267650600228229401496703205376
    332833500
    27 reaches 1 in 111 steps, 97 in 118, 871 in 178
"""

from manycore import Cluster


def steps(number: int) -> int:
    count = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        count += 1
    return count


with Cluster() as cluster:  # a private one on this machine; Cluster(url) for many machines
    print(cluster.submit(pow, 2, 100).result())
    print(sum(cluster.map(lambda n: n * n, range(1_000))))  # lazy, in order, no chunksize to tune
    a, b, c = cluster.batch(steps, [27, 97, 871], progress=True).gather()
    print(f"27 reaches 1 in {a} steps, 97 in {b}, 871 in {c}")
