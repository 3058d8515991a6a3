"""What the figures are called, their unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one peer. `heads` are the lines above its column; without them it has none, and stands in JSON."""

    name: str
    unit: str
    heads: tuple[str, str, str] | None = None
    lower_is_better: bool = False


CELLS = (
    Cell("submit", "calls/s", ("submit", "", "/s")),
    Cell("map", "items/s", ("map", "no-ops", "/s")),
    Cell("efficiency, 1 ms", "", ("effi-", "ciency", "1 ms")),
    Cell("efficiency, 10 ms", "", ("", "", "10 ms")),
    Cell("efficiency, 100 ms", "", ("", "", "100")),
    Cell("tail", "", ("heavy", "tail", "")),
    Cell("round trip, p50", "ms", ("round", "trip", "p50"), lower_is_better=True),
    Cell("round trip, p99", "ms", ("", "ms", "p99"), lower_is_better=True),
    Cell("payload", "MB/s", ("pay-", "load", "MB/s")),
    Cell("broadcast", "s", ("broad-", "cast", "s"), lower_is_better=True),
    Cell("cold start", "s", ("cold", "start", "s"), lower_is_better=True),
    Cell("map of 20", "ms", lower_is_better=True),
    Cell("map of 1,000", "ms", lower_is_better=True),
    Cell("map of 2 x 1 s a slot", "s", lower_is_better=True),
    Cell("CPU beyond 1 ms", "%", lower_is_better=True),
    Cell("CPU beyond 10 ms", "%", lower_is_better=True),
    Cell("CPU beyond 100 ms", "%", lower_is_better=True),
    Cell("import", "ms", lower_is_better=True),
    Cell("client memory", "MiB", lower_is_better=True),
    Cell("cost of safety", ""),
    Cell("CPU, idle", "ms/min", lower_is_better=True),
    Cell("wake-ups, idle", "/min", lower_is_better=True),
    Cell("CPU, open batch", "ms/min", lower_is_better=True),
    Cell("wake-ups, open batch", "/min", lower_is_better=True),
)
BY_NAME = {cell.name: cell for cell in CELLS}
COLUMNS = tuple(cell for cell in CELLS if cell.heads)
