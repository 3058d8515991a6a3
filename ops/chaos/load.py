"""Keeps clients working: each runs one named batch after another, and one that was killed runs the same batch again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from manycore.local.lifeline import die_with_parent
from ops.chaos.client import RUN_AGAIN, Order
from ops.chaos.rig import Rig

ERROR_BYTES = 1500


@dataclass
class Caller:
    """One client process after another; `order` is the batch it has in hand, None once it has ended."""

    order: Order | None = None
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0


@dataclass
class Load:
    """`items` a batch, and `hanging` ones beside them. `failures` are the clients that ended with an error."""

    rig: Rig
    seed: int
    items: int
    hanging: int = 1
    seconds: float | None = None
    lanes: int = 2
    finished: list[Order] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    closing: bool = False
    runs_again: int = 0
    _begun: int = 0

    def __post_init__(self) -> None:
        self.callers = [Caller() for _ in range(self.lanes)]

    def begin(self) -> None:
        """Give each client a batch."""
        for caller in self.callers:
            caller.order = caller.order or self._next()
        self.tend()

    def tend(self) -> None:
        """Take note of clients that ended, and start what is due."""
        for caller in self.callers:
            if caller.process is not None and caller.process.poll() is not None:
                self._ended(caller, caller.process.returncode)
            if caller.process is None and (caller.order is not None or not self.closing):
                caller.order = caller.order or self._next()
                caller.process = self._start(caller.order)

    @property
    def done(self) -> bool:
        """Whether every batch that was begun is gathered (or its client failed)."""
        return all(caller.order is None for caller in self.callers)

    def unfinished(self) -> list[Order]:
        return [caller.order for caller in self.callers if caller.order is not None]

    def connected(self) -> bool:
        """Whether a client is connected."""
        return any(order.connected.exists() for order in self.unfinished())

    def kill_one(self, dice: random.Random) -> bool:
        """SIGKILL a client; it is run again with the same batch. Says whether there was one."""
        running = [caller for caller in self.callers if caller.process is not None and caller.process.poll() is None]
        if not running:
            return False
        caller = dice.choice(running)
        caller.kills += 1
        if caller.process is not None:
            caller.process.kill()
        return True

    def end(self) -> None:
        """Kill the clients."""
        for caller in self.callers:
            if caller.process is not None:
                caller.process.kill()
                caller.process.wait()

    def _next(self) -> Order:
        self._begun += 1
        name = f"chaos-{self.seed}-{self._begun}"
        return Order(name, self.seed, self.items, self.hanging, str(self.rig.folder), self.seconds)

    def _start(self, order: Order) -> subprocess.Popen[bytes]:
        own_pid = os.getpid()
        with self._log(order).open("ab") as log:
            return subprocess.Popen(
                order.command(),
                env=self.rig.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(own_pid),
            )

    def _ended(self, caller: Caller, code: int) -> None:
        caller.process = None
        if (code == -signal.SIGKILL and caller.kills) or code == RUN_AGAIN:
            self.runs_again += 1
            return
        order, caller.order = caller.order, None
        if order is None:
            return
        self.finished.append(order)
        if code:
            log = self._log(order).read_bytes()[-ERROR_BYTES:].decode(errors="replace")
            self.failures.append(f"the client of {order.batch} ended with {code}:\n{log}")

    def _log(self, order: Order) -> Path:
        return self.rig.folder / f"{order.batch}.log"
