"""`python -m benchmarks.peers.process`: one peer, opened for one measure, in this process. Prints nothing, writes JSON.

Whoever makes the table starts one of these for each sample. It needs the standard library and the peer's package alone.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from benchmarks.measures import cpu, efficiency, idle, latency, ours, rates, values
from benchmarks.measures.reading import Reading
from benchmarks.peers.peer import BEST_VARIABLE, URL_VARIABLE, CannotDo, Peer, Setup
from benchmarks.peers.roster import PEERS
from benchmarks.workloads import process_after

Measure = Callable[[Peer], list[Reading]]
MEASURES: dict[str, Measure] = {
    "submit": rates.submit,
    "map": rates.map_items,
    "efficiency": efficiency.efficiency,
    "roundtrip": latency.round_trip,
    "small": latency.small,
    "cpu": cpu.cpu,
    "payload": values.payload,
    "broadcast": values.broadcast,
    "import": latency.imports,
    "memory": ours.memory,
    "safety": ours.safety,
    "idle": idle.idle,
}
MINIATURE: dict[str, Measure] = {
    "submit": partial(rates.submit, most=20),
    "map": partial(rates.map_items, most=100),
    "efficiency": partial(efficiency.efficiency, scale=0.004),
    "roundtrip": partial(latency.round_trip, most=3),
    "small": partial(latency.small, maps=1, naps=0.01),
    "cpu": partial(cpu.cpu, scale=0.004),
    "payload": partial(values.payload, most=2, size_bytes=1_000),
    "broadcast": partial(values.broadcast, items=3, size_bytes=1_000),
    "import": partial(latency.imports, times=1),
    "memory": partial(ours.memory, items=1_000),
    "safety": partial(ours.safety, turns=1, items=4),
    "idle": partial(idle.idle, seconds=0.2, settling=0.05),
}
"""The same, as small as they can be: what tests run."""
WARM_UP_SECONDS = 30.0


def main() -> None:
    """Measure, and write what came of it, or why nothing did."""
    options = _options()
    try:
        outcome = {"readings": [asdict(reading) for reading in _measure(options)]}
    except CannotDo as reason:
        outcome = {"cannot": str(reason)}  # type: ignore[dict-item]
    except Exception as error:  # a peer may raise anything; the table says what
        outcome = {"failed": f"{type(error).__name__}: {error}"[:300]}  # type: ignore[dict-item]
    options.out.write_text(json.dumps(outcome))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("measure", choices=[*MEASURES, "cold"])
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--began", type=float, required=True, help="When it was started, by the monotonic clock.")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _measure(options: argparse.Namespace) -> list[Reading]:
    kind, measure = PEERS[options.peer], options.measure
    reasons = kind.cannot if options.best else {**kind.cannot, **kind.cannot_by_default}
    if measure in reasons:
        raise CannotDo(reasons[measure])
    os.environ[URL_VARIABLE] = options.url
    os.environ[BEST_VARIABLE] = measure if options.best else ""
    with TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        peer = kind(Setup(options.workers, options.best, measure, options.url, Path(folder)))
        if measure == "import":
            return (MINIATURE if options.miniature else MEASURES)[measure](peer)
        peer.open()
        try:
            if measure == "cold":
                return latency.first_result(peer, options.began)
            _warm_up(peer)
            return (MINIATURE if options.miniature else MEASURES)[measure](peer)
        finally:
            peer.close()


def _warm_up(peer: Peer) -> None:
    """Until all workers have answered. Those without processes of their own, or with a new one a call, just answer."""
    deadline = monotonic() + WARM_UP_SECONDS
    costs = [0.02] * 8 * peer.setup.workers
    while len(seen := set(peer.results([peer.submit(process_after, cost) for cost in costs]))) < peer.setup.workers:
        if peer.baseline or seen == {os.getpid()}:
            return
        if monotonic() > deadline:
            raise RuntimeError(f"{peer.title} runs {len(seen)} of {peer.setup.workers} processes. Is memory short?")


if __name__ == "__main__":
    main()
