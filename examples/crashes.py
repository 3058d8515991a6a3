"""What survives: a worker that dies, a client that leaves, a batch that nobody wants any more.

Prints:

    [0, 1, WorkerCrashed, 9, 16]
    handed over as nightly
    the same, gathered by another: [0, 1, WorkerCrashed, 9, 16]
    ['BatchCancelled', 1024]
"""

import os
from time import sleep

from manycore import Batch, Cluster


def square(number: int) -> int:
    if number == 2:
        os._exit(1)  # takes its process along, each of the three times that it may run
    return number * number


def shown(batch: Batch) -> str:
    results = batch.gather(return_exceptions=True)
    return f"[{', '.join(type(r).__name__ if isinstance(r, Exception) else str(r) for r in results)}]"


with Cluster() as cluster:
    print(shown(cluster.batch(square, range(5))))

    # A batch with an id outlives its client; handed over, it needs none: on a real cluster this program could end here.
    name = cluster.batch(square, range(5), id="nightly").detach()
    print(f"handed over as {name}")
    batch = cluster.attach(name)
    print(f"the same, gathered by another: {shown(batch)}")
    batch.delete()

    unwanted = cluster.batch(sleep, [3600])
    unwanted.wait(0.5)
    unwanted.cancel(terminate=True)
    (error,) = unwanted.gather(return_exceptions=True)
    print([type(error).__name__, cluster.submit(pow, 2, 10).result(timeout=10)])  # its process is there for others
