"""How much goes through: calls of `submit`, items of `map`, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import repeat
from time import perf_counter

from benchmarks.figure import Figure, take_turns
from benchmarks.peers import Peers
from benchmarks.workloads import MIB, echo, noop, payloads, size_of

SUBMITS = 30_000
ITEMS = 1_000_000
POOL_CHUNKSIZES = (1_000, 10_000, 62_500)
PAYLOADS = 64
PAYLOAD_BYTES = 4 * MIB
BROADCAST_ITEMS, BROADCAST_BYTES = 32, 64_000_000


def submit(peers: Peers) -> Iterator[Figure]:
    """A loop of `submit`, and every result gathered."""

    def rate(executor: Executor) -> float:
        start = perf_counter()
        futures = [executor.submit(noop, item) for item in range(SUBMITS)]
        _check(sum(future.result() for future in futures), sum(range(SUBMITS)))
        return SUBMITS / (perf_counter() - start)

    samples = take_turns(peers.rounds, lambda: rate(peers.cluster), lambda: rate(peers.pool))
    yield Figure("submit", "calls/s", *samples, note=f"{SUBMITS:,} no-ops")


def map_items(peers: Peers) -> Iterator[Figure]:
    """A `map` of no-ops: without a chunksize here, with its best one there."""

    def rate(results: Callable[[], Iterable[int]]) -> float:
        start = perf_counter()
        _check(sum(results()), ITEMS * (ITEMS - 1) // 2)
        return ITEMS / (perf_counter() - start)

    def pool_rate(chunksize: int) -> float:
        return rate(lambda: peers.pool.map(noop, range(ITEMS), chunksize=chunksize))

    best = max(POOL_CHUNKSIZES, key=pool_rate)
    samples = take_turns(
        peers.rounds, lambda: rate(lambda: peers.cluster.map(noop, range(ITEMS))), lambda: pool_rate(best)
    )
    yield Figure("map", "items/s", *samples, note=f"{ITEMS:,} no-ops; pool: chunksize {best:,}")


def payload(peers: Peers) -> Iterator[Figure]:
    """Large bytes there and back."""
    sent = payloads(PAYLOADS, PAYLOAD_BYTES)

    def rate(executor: Executor) -> float:
        start = perf_counter()
        _check(_all_equal(executor.map(echo, sent), sent), True)
        return 2 * PAYLOADS * PAYLOAD_BYTES / 1e6 / (perf_counter() - start)

    samples = take_turns(peers.rounds, lambda: rate(peers.cluster), lambda: rate(peers.pool))
    yield Figure("payload", "MB/s", *samples, note=f"{PAYLOADS} x {PAYLOAD_BYTES // MIB} MiB, there and back")


def broadcast(peers: Peers) -> Iterator[Figure]:
    """One large value for many items, as a plain argument of each."""
    (value,), expected = payloads(1, BROADCAST_BYTES), [BROADCAST_BYTES + item for item in range(BROADCAST_ITEMS)]

    def seconds(executor: Executor) -> float:
        start = perf_counter()
        _check(list(executor.map(size_of, repeat(value, BROADCAST_ITEMS), range(BROADCAST_ITEMS))), expected)
        return perf_counter() - start

    samples = take_turns(peers.rounds, lambda: seconds(peers.cluster), lambda: seconds(peers.pool))
    note = f"{BROADCAST_BYTES // 1_000_000} MB to {BROADCAST_ITEMS} items, as plain arguments"
    yield Figure("broadcast", "s", *samples, lower_is_better=True, note=note)


def _all_equal(results: Iterable[bytes], sent: Sequence[bytes]) -> bool:
    return all(got == item for got, item in zip(results, sent, strict=True))


def _check(got: object, expected: object) -> None:
    if got != expected:
        raise AssertionError(f"A measured run gave {got!r}, right is {expected!r}: its speed means nothing.")
