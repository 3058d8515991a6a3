"""What faults act on, and what is noted of each injection."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

from ops.chaos.host import Host
from ops.chaos.load import Load
from ops.chaos.rig import Rig

Steps: TypeAlias = Generator[float, None, None]
"""A fault under way: it yields the seconds until it goes on."""
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 5.0
"""How long a fault waits for its target."""


@dataclass
class Hit:
    """One injection: when it struck, when it was undone (or whom it killed), on the monotonic clock.

    `killed` ran an item; `dead` are all processes that died of it; `frozen` are those that stood still meanwhile,
    `stopping` those of a worker that was told to end.
    """

    fault: str
    at: float = 0.0
    until: float = 0.0
    killed: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()
    frozen: tuple[int, ...] = ()
    stopping: tuple[int, ...] = ()

    def strike(self, killed: Iterable[int] = (), dead: Iterable[int] = ()) -> None:
        self.at = self.until = monotonic()
        self.killed = tuple(killed)
        self.dead = (*self.killed, *dead)

    def undone(self) -> None:
        self.until = monotonic()


@dataclass
class Stage:
    """What faults act on. All chance comes from `dice`."""

    rig: Rig
    load: Load
    dice: random.Random

    def busy_host(self) -> Generator[float, None, Host | None]:
        """Wait for a host that runs an item."""
        deadline = monotonic() + PATIENCE_SECONDS
        while (host := self.rig.busy_host(self.dice)) is None and monotonic() < deadline:
            yield LOOK_SECONDS
        return host
