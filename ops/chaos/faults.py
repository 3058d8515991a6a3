"""The faults, one small function each. A fault strikes, yields the seconds until it goes on, and undoes itself.

A fault for which there is no target (no busy worker, no client) ends without `hit.strike`, and is not counted.
Those of the server are in `troubles`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGCONT, SIGKILL, SIGSTOP
from time import monotonic

import redis

from manycore.protocol.broker import AWAY, QUEUES
from manycore.protocol.priority import PRIORITY_SUFFIXES
from ops.chaos.host import Host
from ops.chaos.malformed import CONTROL, KINDS, Forge, raw
from ops.chaos.rig import LEASE_SECONDS
from ops.chaos.stage import LOOK_SECONDS, PATIENCE_SECONDS, Hit, Stage, Steps
from ops.chaos.troubles import fail_snapshot, fill_server, load_slowly, pause_server, refuse_writes, restart_server

CONTROL_CHANNEL = "/0.celery.pidbox"
LONGEST_STOP_SECONDS = 1.5 * LEASE_SECONDS
APART_SECONDS = (20.0, 3600.0)
LONGEST_APART_SECONDS = 3 * LEASE_SECONDS
BURST = 20


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
        hit.strike(stage.rig.busy_children(host), host.processes())
        host.signal(SIGKILL)


def kill_host(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        hit.strike(stage.rig.busy_children(host), host.processes())
        host.signal_all(SIGKILL)


def stop_child(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    busy = stage.rig.busy_children(host) if host else []
    if busy:
        child = stage.dice.choice(busy)
        yield from _frozen(stage, hit, [child], lambda signum: _signal(child, signum))


def stop_parent(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        yield from _frozen(stage, hit, host.processes(), host.signal)


def stop_host(stage: Stage, hit: Hit) -> Steps:
    host = yield from stage.busy_host()
    if host is not None:
        yield from _frozen(stage, hit, host.processes(), host.signal_all)


def set_clock_apart(stage: Stage, hit: Hit) -> Steps:
    """The clock of one host is ahead of the others', or behind, by many leases or an hour."""
    host = stage.dice.choice(stage.rig.all_hosts())
    hit.strike()
    host.set_clock(stage.dice.choice((-1, 1)) * stage.dice.choice(APART_SECONDS))
    yield stage.dice.uniform(LEASE_SECONDS / 2, LONGEST_APART_SECONDS)
    host.set_clock(0.0)
    hit.undone()


def cut_connections(stage: Stage, hit: Hit) -> Steps:
    if stage.rig.proxy.cut_all():
        hit.strike()
    yield 0.0


def cut_in_gap(stage: Stage, hit: Hit) -> Steps:
    """Cut where kombu loses the message: the server has given it away, and the worker does not have it yet."""
    proxy = stage.rig.proxy
    before, deadline = proxy.cuts, monotonic() + PATIENCE_SECONDS
    proxy.arm()
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
        _retire(stage.dice.choice(rig.hosts), hit)
    else:
        rig.hosts.append(rig.add_host())
    yield stage.dice.uniform(1.0, 5.0)
    staying = [host for host in rig.hosts if not host.retired]
    for host in staying[rig.wanted_hosts :]:
        _retire(host, hit)
    rig.hosts += [rig.add_host() for _ in range(rig.wanted_hosts - len(staying))]


def throw_malformed(stage: Stage, hit: Hit) -> Steps:
    """A burst of malformed messages at each queue, where they are taken first, and one at remote control."""
    dice, forge = stage.dice, Forge(stage.rig.key)
    yield 0.0
    with suppress(*AWAY, redis.ResponseError), stage.rig.server.client() as client:
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
        Fault("loading", load_slowly),
        Fault("no-replicas", refuse_writes),
        Fault("failed-snapshot", fail_snapshot),
        Fault("full-server", fill_server),
        Fault("clock-apart", set_clock_apart),
        Fault("cut-connections", cut_connections),
        Fault("cut-in-gap", cut_in_gap, weight=2),
        Fault("kill-client", kill_client),
        Fault("scale", scale),
        Fault("malformed", throw_malformed),
    )
}


def _frozen(stage: Stage, hit: Hit, pids: Iterable[int], send: Callable[[signal.Signals], object]) -> Steps:
    """Stop what `send` reaches, for up to one and a half leases."""
    hit.strike()
    hit.frozen = pids = tuple(pids)
    send(SIGSTOP)
    yield stage.dice.uniform(0.2, LONGEST_STOP_SECONDS)
    send(SIGCONT)
    for pid in pids:
        _signal(pid, SIGCONT)  # its parent may have been killed meanwhile, and have a successor
    hit.undone()


def _retire(host: Host, hit: Hit) -> None:
    hit.stopping += tuple(host.children())
    host.retire()


def _signal(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
