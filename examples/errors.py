"""What becomes of items that fail, that fail now and then, or that never end. None of them holds up the others.

Prints:

    [10.0, ZeroDivisionError('division by zero'), 2.5]
    item 1: invalid literal for int() with base 10: 'two'
    done after 3 attempts
    [0, 'ItemTimeout']
"""

import tempfile
from pathlib import Path

from manycore import Cluster


def divide(number: int) -> float:
    return 10 / number


def moody(file: Path) -> str:
    """Fails twice. Each attempt may run in another process, so it counts them in a file."""
    with file.open("a+") as attempts:
        attempts.write("x")
    if file.stat().st_size < 3:
        raise ConnectionError("not now")
    return "done"


def stubborn(number: int) -> int:
    while number:
        pass
    return number


with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
    print(cluster.batch(divide, [1, 0, 4]).gather(return_exceptions=True))

    for outcome in cluster.batch(int, ["1", "two", "3"]).as_completed():
        if outcome.error:  # of its own type, with the worker's traceback as its cause
            print(f"item {outcome.index}: {outcome.error}")

    for outcome in cluster.batch(moody, [Path(folder, "attempts")], retries=5, backoff=0.01).as_completed():
        print(f"{outcome.value} after {outcome.attempts} attempts")

    number, error = cluster.batch(stubborn, [0, 1], timeout=0.5).gather(return_exceptions=True)
    print([number, type(error).__name__])
