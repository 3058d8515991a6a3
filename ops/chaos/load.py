"""Keeps clients working: each goes through one door after another, and one that was killed is run again.

A client of which nothing is heard for too long hangs: it is made to say where its threads are, and counts as broken.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from threading import Event
from time import monotonic

from manycore.local.lifeline import die_with_parent
from ops.chaos.doors.all import DOORS
from ops.chaos.doors.door import Door
from ops.chaos.order import ARRIVALS, RUN_AGAIN, Order
from ops.chaos.rig import Rig
from ops.chaos.runs import Tail

ERROR_BYTES = 1500
STACKS_BYTES = 12_000
STACKS_SECONDS = 0.5
"""How long a client has to write down where its threads are."""


@dataclass
class Caller:
    """One client process after another; `order` is what it has in hand, None once it has ended."""

    order: Order | None = None
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0
    heard_at: float = 0.0


@dataclass
class Load:
    """`lanes` clients side by side. `items` says how large an order is; each door makes its own of it.

    `failures` are the clients that ended with an error, `hung` those that did not end.
    """

    rig: Rig
    seed: int
    items: int
    hanging: int = 1
    seconds: float | None = None
    lanes: int = 2
    doors: Sequence[Door] = (DOORS["named"],)
    silent_seconds: float = float("inf")
    finished: list[Order] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hung: list[Order] = field(default_factory=list)
    closing: bool = False
    runs_again: Counter[str] = field(default_factory=Counter)
    begun: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.callers = [Caller() for _ in range(self.lanes)]
        self._deck = self._deal(random.Random(self.seed))
        self._numbers = count(1)
        self._tail = Tail(self.rig.folder / ARRIVALS)

    def begin(self) -> None:
        """Give each client an order."""
        for caller in self.callers:
            caller.order = caller.order or self._next()
        self.tend()

    def tend(self) -> None:
        """Take note of clients that ended or are silent, and start what is due."""
        self._listen()
        for caller in self.callers:
            if caller.process is not None and caller.process.poll() is not None:
                self._ended(caller, caller.process.returncode)
            elif caller.process is not None and monotonic() - caller.heard_at > self.silent_seconds:
                self._hangs(caller, f"was silent for {self.silent_seconds:g} s")
            if caller.process is None and (caller.order is not None or not self.closing):
                order = caller.order or self._next()
                caller.order = replace(order, run=order.run + 1)
                caller.process = self._start(caller.order)
                caller.heard_at = monotonic()

    @property
    def done(self) -> bool:
        """Whether everything that was begun is gathered (or its client failed)."""
        return all(caller.order is None for caller in self.callers)

    def unfinished(self) -> list[Order]:
        return [caller.order for caller in self.callers if caller.order is not None]

    def connected(self) -> bool:
        """Whether a client is connected."""
        return any(order.connected.exists() for order in self.unfinished())

    def kill_one(self, dice: random.Random) -> bool:
        """SIGKILL a client; it is run again with the same order. Says whether there was one."""
        running = [caller for caller in self.callers if caller.process is not None and caller.process.poll() is None]
        if not running:
            return False
        caller = dice.choice(running)
        caller.kills += 1
        if caller.process is not None:
            caller.process.kill()
        return True

    def give_up(self) -> None:
        """The time is over: who has not ended hangs."""
        for caller in self.callers:
            if caller.process is not None and caller.process.poll() is None:
                self._hangs(caller, "did not end")

    def end(self) -> None:
        """Kill the clients."""
        for caller in self.callers:
            if caller.process is not None:
                caller.process.kill()
                caller.process.wait()

    def _deal(self, dice: random.Random) -> Iterator[Door]:
        """Doors without end: each round has each one, in another order."""
        while True:
            hand = list(self.doors)
            dice.shuffle(hand)
            yield from hand

    def _next(self) -> Order:
        door = next(self._deck)
        self.begun[door.name] += 1
        number = next(self._numbers)  # never again: by its name an order's executions are counted
        name = f"chaos-{self.seed}-{number}-{door.name}"
        size, folder = door.size(self.items), str(self.rig.folder)
        return Order(name, door.name, 1000 * self.seed + number, size, folder, self.hanging, self.seconds, run=0)

    def _start(self, order: Order) -> subprocess.Popen[bytes]:
        own_pid = os.getpid()
        with self._log(order).open("ab") as log:
            return subprocess.Popen(
                order.command(),
                env=self.rig.client_env,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(own_pid),
            )

    def _listen(self) -> None:
        heard = {note.pid for note in self._tail.read()}
        for caller in self.callers:
            if caller.process is not None and caller.process.pid in heard:
                caller.heard_at = monotonic()

    def _ended(self, caller: Caller, code: int) -> None:
        order, caller.process = caller.order, None
        if order is None:
            return
        if (code == -signal.SIGKILL and caller.kills) or code == RUN_AGAIN:
            self.runs_again[order.door] += 1
            return
        self.finished.append(order)
        caller.order = None
        if code:
            self.failures.append(f"the client of {order.batch} ended with {code}:\n{self._said(order, ERROR_BYTES)}")

    def _hangs(self, caller: Caller, what: str) -> None:
        order, process = caller.order, caller.process
        caller.order = caller.process = None
        if order is None or process is None:
            return
        process.send_signal(signal.SIGUSR1)
        Event().wait(STACKS_SECONDS)
        process.kill()
        process.wait()
        self.finished.append(order)
        self.hung.append(order)
        stacks = self._said(order, STACKS_BYTES)
        self.failures.append(f"the client of {order.batch} {what}:\n{stacks[max(0, stacks.find('Thread 0x')) :]}")

    def _said(self, order: Order, count: int) -> str:
        return self._log(order).read_bytes()[-count:].decode(errors="replace")

    def _log(self, order: Order) -> Path:
        return self.rig.folder / f"{order.batch}.log"
