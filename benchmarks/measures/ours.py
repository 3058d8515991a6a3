"""What is measured of manycore alone: what safety costs, and what a client needs for an endless input."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

from benchmarks.measures.reading import Reading, seconds_of
from benchmarks.peers.peer import Peer
from benchmarks.workloads import burn, noop

LAZY_ITEMS = 10_000_000
SAFE_ITEMS, SAFE_SECONDS = 400, 0.010
LIMIT_SECONDS = 60.0
TURNS = 7
"""The difference looked for is smaller than the noise of one turn."""
UNSAFE = {"MANYCORE_LEASE_SECONDS": "3600", "MANYCORE_AUDIT_SECONDS": "3600"}


def memory(peer: Peer, items: int = LAZY_ITEMS) -> list[Reading]:
    """The most memory that this process ever held, with a lazy input of so many items."""
    seconds_of(lambda: sum(peer.map(noop, (item for item in range(items)), None)), items * (items - 1) // 2)  # type: ignore[arg-type]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [Reading("client memory", peak, f"{items:,} lazy items")]


def safety(peer: Peer, turns: int = TURNS, items: int = SAFE_ITEMS) -> list[Reading]:
    """Efficiency of 10 ms items in CPU time: with leases, audits and limits, over without.

    Without means: no lease is renewed and no batch audited for an hour, and items have no limit. Signatures, ledger and
    black box cannot be switched off; they are in both.
    """
    from manycore import Cluster

    def seconds(cluster: Cluster, timeout: float | None) -> float:
        start = perf_counter()
        if cluster.batch(burn, [SAFE_SECONDS] * items, timeout=timeout).gather() != [SAFE_SECONDS] * items:
            raise AssertionError("A measured run lost results: its speed means nothing")
        return perf_counter() - start

    safe: Cluster = peer.executor  # type: ignore[attr-defined]
    with _unsafe_settings():
        unsafe = Cluster(workers=peer.setup.workers)
    with unsafe:
        seconds(unsafe, None)
        ratios = []
        for turn in range(turns):
            runs = {bool(who): seconds(safe if who else unsafe, LIMIT_SECONDS if who else None) for who in _order(turn)}
            ratios.append(runs[False] / runs[True])
    return [Reading("cost of safety", median(ratios), f"{items} items of 10 ms CPU, {turns} turns")]


def _order(turn: int) -> tuple[int, int]:
    """Who goes first alternates: the first may find a cooler machine."""
    return (1, 0) if turn % 2 else (0, 1)


@contextmanager
def _unsafe_settings() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in UNSAFE}
    os.environ.update(UNSAFE)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
