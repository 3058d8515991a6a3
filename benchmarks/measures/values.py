"""How large values travel: many that differ, there and back; one to many items."""

from __future__ import annotations

from benchmarks.measures.reading import BUDGET_SECONDS, Reading, fitting, seconds_of
from benchmarks.peers.peer import Peer
from benchmarks.workloads import MIB, echo, payloads

PAYLOADS = 64
PAYLOAD_BYTES = 4 * MIB
BROADCAST_ITEMS, BROADCAST_BYTES = 32, 64_000_000


def payload(peer: Peer, most: int = PAYLOADS, size_bytes: int = PAYLOAD_BYTES) -> list[Reading]:
    """Bytes there and back."""
    sent = payloads(most, size_bytes)
    chunksize = 1 if peer.chunked and peer.setup.best else None

    def run(count: int) -> float:
        return seconds_of(lambda: list(peer.map(echo, sent[:count], chunksize)), sent[:count])

    count = fitting(most, run, first=4)
    note = f"{count} x {size_bytes / MIB:.3g} MiB, there and back"
    return [Reading("payload", 2 * count * size_bytes / 1e6 / run(count), note)]


def broadcast(peer: Peer, items: int = BROADCAST_ITEMS, size_bytes: int = BROADCAST_BYTES) -> list[Reading]:
    """One large value for many items. Where two items show that all would take too long, they stand for all."""
    first, second = payloads(2, size_bytes)  # nothing of the pilot may be left to be used again

    def run(value: bytes, count: int) -> float:
        expected = [size_bytes + item for item in range(count)]
        return seconds_of(lambda: list(peer.broadcast(value, range(count))), expected)

    note = f"{size_bytes / 1e6:.3g} MB to {items} items"
    pilot = min(2, items)
    estimate = run(first, pilot) / pilot * items
    if estimate > 3 * BUDGET_SECONDS:
        return [Reading("broadcast", estimate, f"{note}; estimated from {pilot}", estimated=True)]
    return [Reading("broadcast", run(second, items), note)]
