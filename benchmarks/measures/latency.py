"""How long one has to wait: for one result, for a small `map`, for the first result of a new program."""

from __future__ import annotations

import subprocess
import sys
from statistics import median, quantiles
from time import monotonic

from benchmarks.measures.reading import BUDGET_SECONDS, Reading, fitting, seconds_of
from benchmarks.peers.peer import Peer
from benchmarks.workloads import nap, noop

ROUND_TRIPS = 300
SMALL_MAPS = 5
IMPORTS = 5
TIMED_IMPORT = "from time import perf_counter; start = perf_counter(); import {}; print(1e3 * (perf_counter() - start))"


def round_trip(peer: Peer, most: int = ROUND_TRIPS) -> list[Reading]:
    """One call after the other, nothing else under way."""

    def trip(item: int) -> float:
        return 1e3 * seconds_of(lambda: list(peer.results([peer.submit(noop, item)])), [item])

    count = fitting(most, lambda count: sum(map(trip, range(count))) / 1e3, first=5)
    trips = [trip(item) for item in range(max(2, count))]
    percentiles = quantiles(trips, n=100, method="inclusive")
    note = f"{len(trips)} calls, one by one"
    return [Reading(f"round trip, p{percent}", percentiles[percent - 1], note) for percent in (50, 99)]


def small(peer: Peer, maps: int = SMALL_MAPS, naps: float = 1.0) -> list[Reading]:
    """What few items cost: `map` of 20 and of 1,000 no-ops, and of two items a slot that take a second each."""
    few = median(_map_ms(peer, 20) for _ in range(maps))
    if few * 50 < 1e3 * BUDGET_SECONDS:
        more = Reading("map of 1,000", median(_map_ms(peer, 1_000) for _ in range(maps)), f"{maps} times")
    else:
        more = Reading("map of 1,000", 50 * few, "estimated from 20", estimated=True)
    costs = [naps] * (2 * peer.setup.workers)
    seconds = seconds_of(lambda: list(peer.map(nap, costs, 1 if peer.chunked and peer.setup.best else None)), costs)
    return [
        Reading("map of 20", few, f"{maps} times"),
        more,
        Reading("map of 2 x 1 s a slot", seconds, f"{len(costs)} sleeping items"),
    ]


def first_result(peer: Peer, began: float) -> list[Reading]:
    """From the start of a new Python to its first result; `began` is of this machine's monotonic clock."""
    if list(peer.results([peer.submit(noop, 7)])) != [7]:
        raise AssertionError("A cold start gave a wrong result")
    return [Reading("cold start", monotonic() - began, "new Python to first result")]


def imports(peer: Peer, times: int = IMPORTS) -> list[Reading]:
    """What an import costs a new Python. Many short runs: a single one is mostly noise."""
    program = TIMED_IMPORT.format(peer.module)
    runs = [subprocess.run([sys.executable, "-c", program], stdout=-1, check=True).stdout for _ in range(times)]
    return [Reading("import", median(map(float, runs)), f"import {peer.module}")]


def _map_ms(peer: Peer, count: int) -> float:
    chunksize = count // peer.setup.workers or 1 if peer.chunked and peer.setup.best else None
    return 1e3 * seconds_of(lambda: list(peer.map(noop, range(count), chunksize)), list(range(count)))
