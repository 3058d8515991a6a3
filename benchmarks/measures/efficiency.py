"""How much of the cores reaches the work: the ideal, sum of the items' costs / cores, over the wall time.

Items burn CPU time: what a peer's own processes take of the cores, at work or beside it, is missing in the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measures.reading import Reading, best_chunksize, fitting, seconds_of
from benchmarks.peers.peer import Peer
from benchmarks.workloads import burn, pareto_seconds

TAIL_ITEMS = 1_000
"""For each worker."""
TAIL_SEED = 1906  # Pareto's Manuale


@dataclass(frozen=True, slots=True)
class Grain:
    """Items of equal cost, how many of them for each worker, and the chunksizes that are worth trying."""

    label: str
    seconds: float
    count: int
    chunksizes: tuple[int, ...]


GRAINS = (
    Grain("1 ms", 0.001, 1_500, (10, 50)),
    Grain("10 ms", 0.010, 150, (1, 4, 15)),
    Grain("100 ms", 0.100, 20, (1,)),
)


def efficiency(peer: Peer, scale: float = 1.0) -> list[Reading]:
    """Equal items of three costs, and items of very unequal cost, whose best chunksize is 1."""
    readings = [_of_grain(peer, grain, scale) for grain in GRAINS]
    costs = pareto_seconds(max(2, int(TAIL_ITEMS * peer.setup.workers * scale)), TAIL_SEED)
    note = f"{len(costs):,} items, Pareto, {sum(costs):.1f} s in all, the longest {max(costs):.2f} s"
    return [*readings, Reading("tail", of(peer, costs, tuned(peer, (1,))[0]), note)]


def tuned(peer: Peer, chunksizes: tuple[int, ...]) -> tuple[int | None, ...]:
    """These chunksizes, if the peer takes one."""
    return chunksizes if peer.chunked and peer.setup.best else (None,)


def of(peer: Peer, costs: Sequence[float], chunksize: int | None) -> float:
    """The efficiency of one `map`."""
    seconds = seconds_of(lambda: list(peer.map(burn, costs, chunksize)), list(costs))
    return sum(costs) / peer.setup.workers / seconds


def _of_grain(peer: Peer, grain: Grain, scale: float) -> Reading:
    def seconds(count: int, chunksize: int | None) -> float:
        return count * grain.seconds / peer.setup.workers / of(peer, [grain.seconds] * count, chunksize)

    most = max(2, int(grain.count * peer.setup.workers * scale))
    sizes = tuned(peer, grain.chunksizes)
    count = fitting(most, lambda count: seconds(min(count, most // 2), sizes[-1]))
    chunksize = best_chunksize(sizes, lambda size: seconds(max(1, count // 2), size))
    note = f"{count:,} items" + (f", {chunksize} in a chunk" if chunksize else "")
    value = count * grain.seconds / peer.setup.workers / seconds(count, chunksize)
    return Reading(f"efficiency, {grain.label}", value, note)
