"""Injects faults, at random and together, while the load goes on. Which, and in what order, follows from the seed.

In each round every fault comes as often as its weight, in shuffled order: so a short run has each of them. Faults
overlap: one that lasts is left to itself, and the next one comes.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from threading import Event
from time import monotonic

from ops.chaos.faults import Fault
from ops.chaos.stage import Hit, Stage, Steps

TICK_SECONDS = 0.05


class Storm:
    """`hits` are the injections so far; `gap_seconds` is the mean time between two."""

    def __init__(self, stage: Stage, faults: Sequence[Fault], gap_seconds: float) -> None:
        self.hits: list[Hit] = []
        self._stage = stage
        self._gap_seconds = gap_seconds
        self._coming = rounds(faults, stage.dice)
        self._under_way: list[tuple[float, int, Steps]] = []
        self._order = count()
        self._next_at = monotonic()
        self._pause = Event()

    def run(self, until: Callable[[], bool]) -> None:
        """Inject until `until()`; then let what is under way come to its end."""
        while not until():
            if monotonic() >= self._next_at:
                self._inject(next(self._coming))
            self.tick()
        while self._under_way:
            self.tick()

    def tick(self) -> None:
        """Go on with what is due; look after hosts and clients."""
        now = monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            self._go_on(heapq.heappop(self._under_way)[2])
        self._stage.rig.tend()
        self._stage.load.tend()
        self._pause.wait(TICK_SECONDS)

    def counted(self) -> list[Hit]:
        """The injections that found a target."""
        return [hit for hit in self.hits if hit.at]

    def _inject(self, fault: Fault) -> None:
        hit = Hit(fault.name)
        self.hits.append(hit)
        self._next_at = monotonic() + self._stage.dice.expovariate(1 / self._gap_seconds)
        self._go_on(fault.inject(self._stage, hit))

    def _go_on(self, steps: Steps) -> None:
        try:
            seconds = next(steps)
        except StopIteration:
            return
        heapq.heappush(self._under_way, (monotonic() + seconds, next(self._order), steps))


def rounds(faults: Sequence[Fault], dice: random.Random) -> Iterator[Fault]:
    """Faults without end: each round has each one `weight` times, the first round once."""
    weights = [1] * len(faults)
    while True:
        bag = [fault for fault, weight in zip(faults, weights, strict=True) for _ in range(weight)]
        dice.shuffle(bag)
        yield from bag
        weights = [fault.weight for fault in faults]
