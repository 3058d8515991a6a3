"""How much of the cores reaches the work: the ideal, sum of the items' costs / cores, over the wall time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter

from benchmarks.figure import Figure, take_turns
from benchmarks.peers import Peers
from benchmarks.workloads import burn, pareto_seconds, spin

TAIL_ITEMS = 2_000
TAIL_SEED = 1906  # Pareto's Manuale


@dataclass(frozen=True, slots=True)
class Grain:
    """Items of equal cost, and the pool's chunksizes that are worth trying for them."""

    label: str
    work: Callable[[float], float]
    seconds: float
    count: int
    pool_chunksizes: tuple[int, ...]


GRAINS = (
    Grain("1 ms", spin, 0.001, 3_000, (10, 50)),
    Grain("10 ms", spin, 0.010, 600, (1, 4, 15)),
    Grain("10 ms CPU", burn, 0.010, 300, (15,)),
    Grain("100 ms", spin, 0.100, 40, (1,)),
)


def efficiency(peers: Peers) -> Iterator[Figure]:
    """Equal items: without a chunksize here, with its best one there."""
    for grain in GRAINS:
        yield _of_grain(peers, grain)


def tail(peers: Peers) -> Iterator[Figure]:
    """Items of very unequal cost; the pool's best chunksize is then 1."""
    costs = pareto_seconds(TAIL_ITEMS, TAIL_SEED)
    samples = take_turns(
        peers.rounds,
        lambda: _efficiency(peers.cluster, spin, costs, peers.workers, None),
        lambda: _efficiency(peers.pool, spin, costs, peers.workers, 1),
    )
    note = f"{TAIL_ITEMS:,} items, Pareto, {sum(costs):.1f} s in all, the longest {max(costs):.1f} s"
    yield Figure("tail", "", *samples, note=f"{note}; pool: chunksize 1")


def _of_grain(peers: Peers, grain: Grain) -> Figure:
    costs = [grain.seconds] * grain.count

    def theirs(chunksize: int) -> float:
        return _efficiency(peers.pool, grain.work, costs, peers.workers, chunksize)

    candidates = grain.pool_chunksizes
    best = max(candidates, key=theirs) if len(candidates) > 1 else candidates[0]
    samples = take_turns(
        peers.rounds,
        lambda: _efficiency(peers.cluster, grain.work, costs, peers.workers, None),
        lambda: theirs(best),
    )
    return Figure(f"efficiency, {grain.label}", "", *samples, note=f"{grain.count:,} items; pool: chunksize {best}")


def _efficiency(
    executor: Executor, work: Callable[[float], float], costs: Sequence[float], workers: int, chunksize: int | None
) -> float:
    start = perf_counter()
    results = executor.map(work, costs) if chunksize is None else executor.map(work, costs, chunksize=chunksize)
    if list(results) != costs:
        raise AssertionError("A measured run lost results or their order: its speed means nothing.")
    return sum(costs) / workers / (perf_counter() - start)
