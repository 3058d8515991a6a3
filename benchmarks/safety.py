"""What safety costs while nothing goes wrong: the same work with leases, audits and time limits, and without.

Without means: no lease is renewed and no batch audited for an hour, and items have no limit. Signatures, ledger and
black box cannot be switched off; they are in both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from benchmarks.figure import Figure, take_turns
from benchmarks.peers import Peers
from benchmarks.workloads import burn
from manycore import Cluster

ITEMS, SECONDS = 400, 0.010
LIMIT_SECONDS = 60.0
MIN_ROUNDS = 7
"""The difference looked for is smaller than the noise of one round."""
UNSAFE = {"MANYCORE_LEASE_SECONDS": "3600", "MANYCORE_AUDIT_SECONDS": "3600"}


def safety(peers: Peers) -> Iterator[Figure]:
    """Efficiency of 10 ms items, in CPU time: what runs beside them counts against it."""
    with _unsafe_cluster(peers.workers) as unsafe:
        _efficiency(unsafe, peers.workers, None)
        samples = take_turns(
            max(MIN_ROUNDS, peers.rounds),
            lambda: _efficiency(peers.cluster, peers.workers, LIMIT_SECONDS),
            lambda: _efficiency(unsafe, peers.workers, None),
        )
    note = f"{ITEMS} items of 10 ms CPU; no pool: the cluster without leases, audits, limits"
    yield Figure("cost of safety", "", *samples, note=note)


def _efficiency(cluster: Cluster, workers: int, timeout: float | None) -> float:
    start = perf_counter()
    if cluster.batch(burn, [SECONDS] * ITEMS, timeout=timeout).gather() != [SECONDS] * ITEMS:
        raise AssertionError("A measured run lost results: its speed means nothing.")
    return ITEMS * SECONDS / workers / (perf_counter() - start)


@contextmanager
def _unsafe_cluster(workers: int) -> Iterator[Cluster]:
    before = {name: os.environ.get(name) for name in UNSAFE}
    os.environ.update(UNSAFE)
    try:
        with Cluster(workers=workers) as cluster:
            yield cluster
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
