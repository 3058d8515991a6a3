"""`python -m ops.chaos.client ORDER`: the program whose batch must survive, and which is killed and run again itself.

It runs the named batch of the order (JSON), and beside it one of items that hang, and writes down what it gathered.
Run again with the same order it goes on with the same batches. It judges nothing.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any

from manycore import Cluster
from manycore.client.batch import Batch
from manycore.errors import ConnectionFailed
from ops.chaos.items import append, hang, work

HANG_LIMIT_SECONDS = 2.0
ARRIVALS = "arrivals.log"
RUN_AGAIN = 75
"""The exit code of a client that met no server when it began (EX_TEMPFAIL of sysexits.h)."""


@dataclass(frozen=True)
class Order:
    """What a client is to run; `seconds` overrides how long items take."""

    batch: str
    seed: int
    items: int
    hanging: int
    folder: str
    seconds: float | None = None

    @property
    def timed(self) -> str:
        """The name of the batch of hanging items."""
        return f"{self.batch}-timed"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "ops.chaos.client", json.dumps(asdict(self))]

    @property
    def connected(self) -> Path:
        """A file that is there once a client of this order has connected."""
        return Path(self.folder, f"{self.batch}.connected")

    def answers(self, batch: str) -> Path:
        """Where the outcomes of a batch are written once all are there."""
        return Path(self.folder, f"{batch}.json")


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    try:
        cluster = Cluster()
        order.connected.touch()
        batches = submit(cluster, order)
    except ConnectionFailed as exc:  # the server is away just now: what a user does is to run it again
        print(exc, file=sys.stderr)
        sys.exit(RUN_AGAIN)
    with cluster:
        for batch in batches:
            gather(batch, order)


def submit(cluster: Cluster, order: Order) -> list[Batch]:
    """Begin the batches, or go on with them."""
    where: dict[str, Any] = {"folder": order.folder}
    kwargs = {"seed": order.seed, "batch": order.batch, "seconds": order.seconds} | where
    batches = [cluster.batch(work, range(order.items), id=order.batch, kwargs=kwargs)]
    if order.hanging:
        kwargs = {"batch": order.timed} | where
        indices = range(order.hanging)
        batches.append(cluster.batch(hang, indices, id=order.timed, kwargs=kwargs, timeout=HANG_LIMIT_SECONDS))
    return batches


def gather(batch: Batch, order: Order) -> None:
    """Take the outcomes one by one and as a list, and write down both, whole or not at all."""
    came = []
    for outcome in batch.as_completed():
        append(str(Path(order.folder, ARRIVALS)), f"{batch.id} {outcome.index} {os.getpid()} {monotonic_ns()}\n")
        came.append((outcome.index, as_text(outcome.error if outcome.error else outcome.value)))
    listed = [as_text(result) for result in batch.gather(return_exceptions=True)]
    path = order.answers(batch.id)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"came": came, "listed": listed}))
    draft.rename(path)


def as_text(result: Any) -> str:
    """A value as it is written, an error as the name of its class."""
    return type(result).__name__ if isinstance(result, BaseException) else str(result)


if __name__ == "__main__":
    main()
