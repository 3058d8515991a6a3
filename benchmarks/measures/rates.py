"""How many calls and items go through in a second."""

from __future__ import annotations

from benchmarks.measures.reading import Reading, best_chunksize, fitting, seconds_of
from benchmarks.peers.peer import Peer
from benchmarks.workloads import noop

SUBMITS = 30_000
ITEMS = 1_000_000
CHUNKSIZES = (1_000, 10_000, 62_500)


def submit(peer: Peer, most: int = SUBMITS) -> list[Reading]:
    """A call a no-op, all under way at once, and every result gathered."""

    def run(count: int) -> float:
        return seconds_of(
            lambda: list(peer.results([peer.submit(noop, item) for item in range(count)])), list(range(count))
        )

    count = fitting(most, run)
    return [Reading("submit", count / run(count), f"{count:,} no-ops")]


def map_items(peer: Peer, most: int = ITEMS) -> list[Reading]:
    """A `map` of no-ops."""

    def run(count: int, chunksize: int | None) -> float:
        return seconds_of(lambda: sum(peer.map(noop, range(count), chunksize)), count * (count - 1) // 2)

    sizes: tuple[int | None, ...] = CHUNKSIZES if peer.chunked and peer.setup.best else (None,)
    count = fitting(most, lambda count: run(count, sizes[0]))
    chunksize = best_chunksize(sizes, lambda size: run(max(1, count // 4), size))
    note = f"{count:,} no-ops" + (f", {chunksize:,} in a chunk" if chunksize else "")
    return [Reading("map", count / run(count, chunksize), note)]
