"""Cost against the size of values: there and back, one in each item."""

from __future__ import annotations

from time import perf_counter

from benchmarks.growth.study import Figure, Study
from benchmarks.workloads import MIB, echo, payloads
from manycore import Cluster

TOTAL_BYTES = 128 * MIB
MOST = 2_000


def point(size: int) -> dict[str, float]:
    """Values of that size, up to 128 MiB of them."""
    sent = payloads(max(2, min(MOST, TOTAL_BYTES // size)), size)
    with Cluster(workers=2) as cluster:
        assert list(cluster.map(echo, sent[:2])) == sent[:2]
        start = perf_counter()
        assert list(cluster.map(echo, sent)) == sent
        seconds = perf_counter() - start
    return {"rate": 2 * len(sent) * size / 1e6 / seconds, "cost": 1e3 * seconds / len(sent)}


STUDY = Study(
    "values",
    "Values of different bytes there and back, 2,000 of them or 128 MiB in all, on two processes.",
    "bytes",
    tuple(4**power for power in range(5, 14)),
    (1_024, 65_536),
    point,
    (Figure("rate", "Bytes there and back", "MB/s", "log"), Figure("cost", "Cost of a value", "ms", "log")),
)
