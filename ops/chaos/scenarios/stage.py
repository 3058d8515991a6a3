"""What all scenarios share: a rig, a load, and the judgement at the end. The faults are each scenario's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from ops.chaos.load import Load
from ops.chaos.mix import SETTLE_SECONDS, Result, calm, conclude, settle
from ops.chaos.order import ARRIVALS
from ops.chaos.rig import Rig
from ops.chaos.runs import Item, Tail
from ops.chaos.verdict import Verdict


@dataclass
class Scene:
    """A scenario under way."""

    rig: Rig
    load: Load
    result: Result
    seed: int

    def __post_init__(self) -> None:
        self._ticker = calm(self.rig, self.load)
        self._tail = Tail(self.rig.folder / ARRIVALS)
        self._arrived: set[Item] = set()

    def tick(self) -> None:
        """Let a moment pass, in which hosts and clients are looked after."""
        self._ticker.tick()

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> float | None:
        """Wait for a condition; says how many seconds it took, None if it did not come or a client failed."""
        started = monotonic()
        while not condition():
            if monotonic() - started > seconds or self.load.failures:
                return None
            self.tick()
        return monotonic() - started

    def settle(self, seconds: float) -> None:
        """Let the batches come to their end."""
        settle(self._ticker, self.load, seconds)

    def arrivals(self) -> int:
        """How many outcomes have come for the first time."""
        self._arrived.update(note.item for note in self._tail.read())
        return len(self._arrived)

    def fail(self, text: str) -> None:
        """Note a promise that was broken."""
        self.result.verdict.failures.append(text)


@contextmanager
def scene(
    seed: int, settings: Mapping[str, str], *, settle_seconds: float = SETTLE_SECONDS, **load: float
) -> Iterator[Scene]:
    """A rig with a load on it; at the end the batches come to theirs, and are judged. `load` is for `Load`."""
    with Rig(settings=settings) as rig:
        rig.start_hosts()
        found = Scene(rig, Load(rig, seed, **load), Result(Verdict(), [], {}), seed)  # type: ignore[arg-type]
        started = monotonic()
        try:
            yield found
            found.settle(settle_seconds)
        finally:
            found.load.end()
        found.result.chaos_seconds = monotonic() - started
        found.result.chaos_items = sum(order.items for order in found.load.finished)
        conclude(rig, found.load, found.result)
