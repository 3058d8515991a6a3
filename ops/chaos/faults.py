"""The faults, one small function each. A fault strikes, yields the seconds until it goes on, and undoes itself.

A fault for which there is no target (no busy worker, no client) ends without `hit.strike`, and is not counted.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGCONT, SIGKILL, SIGSTOP
from time import monotonic
from typing import TypeAlias

from manycore.protocol.broker import AWAY, PRIORITY_SUFFIXES, QUEUES
from ops.chaos.host import Host
from ops.chaos.load import Load
from ops.chaos.malformed import CONTROL, KINDS, Forge, raw
from ops.chaos.proxy import Moment
from ops.chaos.rig import LEASE_SECONDS, Rig

Steps: TypeAlias = Generator[float, None, None]
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 5.0
"""How long a fault waits for its target."""
CONTROL_CHANNEL = "/0.celery.pidbox"
LONGEST_STOP_SECONDS = 1.5 * LEASE_SECONDS
LONGEST_PAUSE_SECONDS = 4.0
LONGEST_DOWN_SECONDS = 1.5
BURST = 20


@dataclass
class Hit:
    """One injection: when it struck, when it was undone (or what it killed), on the monotonic clock."""

    fault: str
    at: float = 0.0
    until: float = 0.0
    killed: tuple[int, ...] = ()

    def strike(self, killed: Iterable[int] = ()) -> None:
        self.at = self.until = monotonic()
        self.killed = tuple(killed)

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


def kill_child(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    busy = stage.rig.busy_children(host) if host else []
    if busy:
        child = stage.dice.choice(busy)
        hit.strike([child])
        _signal(child, SIGKILL)


def kill_parent(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        hit.strike(stage.rig.busy_children(host))
        host.signal(SIGKILL)


def kill_host(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        hit.strike(stage.rig.busy_children(host))
        host.signal_all(SIGKILL)


def stop_child(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    busy = stage.rig.busy_children(host) if host else []
    if busy:
        child = stage.dice.choice(busy)
        yield from _frozen(stage, hit, lambda signum: _signal(child, signum))


def stop_parent(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        yield from _frozen(stage, hit, host.signal)


def stop_host(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        yield from _frozen(stage, hit, host.signal_all)


def restart_server(stage: Stage, hit: Hit) -> Steps:
    server = stage.rig.server
    if server.answers():  # one at a time
        hit.strike()
        server.kill()
        yield stage.dice.uniform(0.0, LONGEST_DOWN_SECONDS)
        server.start()
        while not server.answers():
            yield LOOK_SECONDS
        hit.undone()


def pause_server(stage: Stage, hit: Hit) -> Steps:
    if stage.rig.server.answers():
        hit.strike()
        stage.rig.server.pause()
        yield stage.dice.uniform(0.2, LONGEST_PAUSE_SECONDS)
        stage.rig.server.resume()
        hit.undone()


def cut_connections(stage: Stage, hit: Hit) -> Steps:
    if stage.rig.proxy.cut_all():
        hit.strike()
    yield 0.0


def cut_in_gap(stage: Stage, hit: Hit) -> Steps:
    """Cut where kombu loses the message: before the worker has it, or before its note of it arrives."""
    moment: Moment = stage.dice.choice(("gap", "record"))
    proxy = stage.rig.proxy
    before, deadline = proxy.cuts, monotonic() + PATIENCE_SECONDS
    proxy.arm(moment)
    while proxy.cuts == before and monotonic() < deadline:
        yield LOOK_SECONDS
    if proxy.cuts > before:
        hit.strike()


def kill_client(stage: Stage, hit: Hit) -> Steps:
    if stage.load.kill_one(stage.dice):
        hit.strike()
    yield 0.0


def scale(stage: Stage, hit: Hit) -> Steps:
    """One host more or less for a while: SIGTERM lets it give back what it has not started."""
    rig = stage.rig
    hit.strike()
    if len(rig.hosts) > rig.wanted_hosts or stage.dice.random() < 0.5:
        stage.dice.choice(rig.hosts).retire()
    else:
        rig.hosts.append(rig.add_host())
    yield stage.dice.uniform(1.0, 5.0)
    staying = [host for host in rig.hosts if not host.retired]
    for host in staying[rig.wanted_hosts :]:
        host.retire()
    rig.hosts += [rig.add_host() for _ in range(rig.wanted_hosts - len(staying))]


def throw_malformed(stage: Stage, hit: Hit) -> Steps:
    """A burst of malformed messages at each queue, where they are taken first, and one at remote control."""
    dice, forge = stage.dice, Forge(stage.rig.key)
    yield 0.0
    with suppress(*AWAY), stage.rig.server.client() as client:
        for queue in QUEUES:
            kinds = dice.sample(sorted(KINDS), BURST)
            client.rpush(queue + dice.choice(PRIORITY_SUFFIXES), *(raw(KINDS[kind](forge)) for kind in kinds))
        client.publish(CONTROL_CHANNEL, raw(CONTROL[dice.choice(sorted(CONTROL))](forge)))
        hit.strike()


@dataclass(frozen=True)
class Fault:
    """A fault by its name; `weight` is how often it comes in each round of all of them."""

    name: str
    inject: Callable[[Stage, Hit], Steps]
    weight: int = 1
    kills: bool = False


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill-child", kill_child, weight=6, kills=True),
        Fault("kill-parent", kill_parent, weight=2, kills=True),
        Fault("kill-host", kill_host, weight=2, kills=True),
        Fault("stop-child", stop_child),
        Fault("stop-parent", stop_parent),
        Fault("stop-host", stop_host),
        Fault("restart-server", restart_server),
        Fault("pause-server", pause_server),
        Fault("cut-connections", cut_connections),
        Fault("cut-in-gap", cut_in_gap, weight=2),
        Fault("kill-client", kill_client),
        Fault("scale", scale),
        Fault("malformed", throw_malformed),
    )
}


def _frozen(stage: Stage, hit: Hit, send: Callable[[signal.Signals], object]) -> Steps:
    """Stop what `send` reaches, for up to one and a half leases."""
    hit.strike()
    send(SIGSTOP)
    yield stage.dice.uniform(0.2, LONGEST_STOP_SECONDS)
    send(SIGCONT)
    hit.undone()


def _signal(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
