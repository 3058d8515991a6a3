"""What a client is to run, as the driver tells it, and where it finds the client's answers. JSON on a command line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ARRIVALS = "arrivals.log"
RUN_AGAIN = 75
"""The exit code of a client that wants to be run again (EX_TEMPFAIL of sysexits.h): the server was away when it began
something, or it has handed its batch over and leaves the rest to its successor."""


@dataclass(frozen=True)
class Order:
    """One client's work. `run` counts the processes that it was given to; `seconds` overrides how long items take."""

    batch: str
    door: str
    seed: int
    items: int
    folder: str
    hanging: int = 0
    seconds: float | None = None
    run: int = 1

    def command(self) -> list[str]:
        return [sys.executable, "-m", "ops.chaos.client", json.dumps(asdict(self))]

    def named(self, part: str) -> str:
        """The name of a batch that is the same batch in each run."""
        return f"{self.batch}-{part}"

    def unnamed(self, part: str) -> str:
        """What is noted of work that each run begins anew."""
        return f"{self.batch}-{part}~{self.run}"

    @property
    def connected(self) -> Path:
        """A file that is there once a client of this order has connected."""
        return Path(self.folder, f"{self.batch}.connected")

    @property
    def handed_over(self) -> Path:
        """A file that is there once the batch is detached."""
        return Path(self.folder, f"{self.batch}.detached")

    @property
    def answers(self) -> Path:
        """Where the outcomes are written once all are there."""
        return Path(self.folder, f"{self.batch}.json")
