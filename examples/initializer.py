"""What is expensive to make is made once in each worker process: a model, a connection, a large table.

Prints:

    [2, 3, 5, 7, 11]
    2 of 1000 words are in the list
    InitializerFailed
"""

import tempfile
from pathlib import Path

from manycore import Cluster, worker_state
from manycore.errors import InitializerFailed

primes: list[int] = []


def load(file: Path) -> frozenset[str]:
    """Runs once in each worker process, before its first item; what it returns stays there."""
    return frozenset(file.read_text().split())


def is_known(word: str) -> bool:
    return word in worker_state()


def sieve(limit: int) -> None:
    """A global does as well, as with the standard library's pools."""
    global primes
    primes = [n for n in range(2, limit) if all(n % d for d in range(2, n))]


def prime(index: int) -> int:
    return primes[index]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Cluster(initializer=sieve, initargs=(100,)) as cluster:
        print(list(cluster.map(prime, range(5))))

        words = Path(folder, "words")
        words.write_text("seven eleven")
        batch = cluster.batch(
            is_known, ["one", "seven", "eleven", "two"] + ["?"] * 996, initializer=load, initargs=(words,)
        )
        print(f"{sum(batch.gather())} of 1000 words are in the list")

        try:
            cluster.batch(is_known, ["one"], initializer=load, initargs=(Path(folder, "none"),)).gather()
        except InitializerFailed as error:  # one error for the whole batch, with the worker's traceback as its cause
            print(type(error).__name__)
