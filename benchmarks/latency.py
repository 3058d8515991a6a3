"""How long one has to wait: for one result, for the first one of a new program, for the imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from statistics import quantiles
from time import perf_counter

from benchmarks.figure import Figure, take_turns
from benchmarks.peers import Peers
from benchmarks.workloads import noop

ROUND_TRIPS = 300
IMPORTS_A_ROUND = 5
CLUSTER = "from manycore import Cluster\nexecutor = Cluster(workers={workers})"
POOL = "from concurrent.futures import ProcessPoolExecutor\nexecutor = ProcessPoolExecutor({workers})"
FIRST_RESULT = "\nwith executor:\n    print(executor.submit(pow, 2, 10).result(), flush=True)"
TIMED_IMPORT = (
    "from time import perf_counter\nstart = perf_counter()\n{statement}\nprint(1e3 * (perf_counter() - start))"
)


def round_trip(peers: Peers) -> Iterator[Figure]:
    """One `submit(...).result()` after the other, nothing else under way."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    take_turns(peers.rounds, lambda: _round_trips(peers.cluster, ours), lambda: _round_trips(peers.pool, theirs))
    note = f"{ROUND_TRIPS} submit().result(), one by one"
    for percent in (50, 99):
        samples = _percentiles(ours, percent), _percentiles(theirs, percent)
        yield Figure(f"round trip, p{percent}", "ms", *samples, lower_is_better=True, note=note)


def cold_start(peers: Peers) -> Iterator[Figure]:
    """From the start of a new Python to its first result."""
    samples = take_turns(
        peers.rounds,
        lambda: _seconds_to_first_line(CLUSTER.format(workers=peers.workers) + FIRST_RESULT),
        lambda: _seconds_to_first_line(POOL.format(workers=peers.workers) + FIRST_RESULT),
    )
    yield Figure("cold start", "s", *samples, lower_is_better=True, note="new Python to first result")


def imports(peers: Peers) -> Iterator[Figure]:
    """What an import costs a new Python. Many short runs: a single one is mostly noise."""
    for name, ours, theirs in (
        ("import, package", "import manycore", "import concurrent.futures"),
        ("import, class", "from manycore import Cluster", "from concurrent.futures import ProcessPoolExecutor"),
    ):
        samples = take_turns(IMPORTS_A_ROUND * peers.rounds, partial(_import_ms, ours), partial(_import_ms, theirs))
        yield Figure(name, "ms", *samples, lower_is_better=True, note=f"{ours}; {theirs}")


def _round_trips(executor: Executor, into: list[list[float]]) -> float:
    """Append each round trip's milliseconds to `into`; gives their sum."""
    trips = []
    for item in range(ROUND_TRIPS):
        start = perf_counter()
        executor.submit(noop, item).result()
        trips.append(1e3 * (perf_counter() - start))
    into.append(trips)
    return sum(trips)


def _percentiles(rounds: list[list[float]], percent: int) -> tuple[float, ...]:
    """That percentile of each round."""
    return tuple(quantiles(trips, n=100)[percent - 1] for trips in rounds)


def _seconds_to_first_line(program: str) -> float:
    start = perf_counter()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - start
    if line.strip() != "1024" or process.returncode:
        raise AssertionError(f"A cold start gave {line!r} and exit code {process.returncode}, not 1024 and 0.")
    return seconds


def _import_ms(statement: str) -> float:
    program = TIMED_IMPORT.format(statement=statement)
    return float(subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout)
