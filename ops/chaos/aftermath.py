"""What must not be left once all is quiet: messages, keys that stay for ever, processes, files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from manycore.protocol.broker import QUEUES, UNACKED
from manycore.protocol.home import default_place
from manycore.protocol.priority import PRIORITY_SUFFIXES
from manycore.protocol.signing import Keyring
from ops.chaos.foreign_worker import FOREIGN
from ops.chaos.processes import Expired, wait_until
from ops.chaos.rig import Rig

DRAIN_SECONDS = 30.0
"""How long what killed clients have left in the queues may take to run: a few leases."""
STOP_SECONDS = 30.0
BROKERS = ("_kombu.", "unacked", "manycore-unacked")
"""What the names of kombu's own keys begin with, or have in them: they live as long as the broker."""


def of_the_server(rig: Rig) -> Iterator[str]:
    """What is left in Redis, while the workers still run: say what should not be."""
    with rig.server.client() as client:
        try:
            wait_until(lambda: not left(client), "every message has run", seconds=DRAIN_SECONDS)
        except Expired:
            yield f"messages are left {DRAIN_SECONDS:g} s after the last client ended: {left(client)}"
        forever = sorted(name for name in names(client) if client.ttl(name) == -1 and not _excused(name))
        if forever:
            yield f"{len(forever)} keys have no TTL: {', '.join(forever[:5])}"


def of_the_machine(rig: Rig) -> Iterator[str]:
    """Stop the workers, and look for what outlives them."""
    hosts = rig.all_hosts()
    for host in hosts:
        host.retire()
    try:
        wait_until(lambda: not any(host.alive for host in hosts), "every worker has stopped", seconds=STOP_SECONDS)
    except Expired as exc:
        yield str(exc)
    for host in hosts:
        host.end()
    living = sorted(processes_of(str(rig.folder)) - {os.getpid()} - rig.server.pids())
    if living:
        yield f"{len(living)} processes outlive their workers: {', '.join(map(_command, living[:5]))}"
    kept = [path.name for path in default_place().glob(f"*-worker-{Keyring.parse(rig.key).ids[0]}-*")]
    if kept:
        yield f"large objects are left in shared memory: {', '.join(kept)}"


def left(client: redis.Redis) -> dict[str, int]:
    """The messages that wait or are under way, by their key."""
    waiting = [queue + suffix for queue in QUEUES for suffix in PRIORITY_SUFFIXES]
    found: dict[str, Any] = {queue: client.llen(queue) for queue in waiting}
    found[UNACKED] = client.hlen(UNACKED)
    return {name: count for name, count in found.items() if count}


def names(client: redis.Redis) -> list[str]:
    return [name.decode(errors="replace") for name in client.scan_iter(count=1000)]


def processes_of(text: str) -> set[int]:
    """The processes that were started with this in their environment."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (process / "environ").read_bytes():
                found.add(int(process.name))
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def _excused(name: str) -> bool:
    return FOREIGN in name or name.startswith(BROKERS[0]) or BROKERS[1] in name or name in QUEUES


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80]
    except OSError:
        return f"{pid}, gone meanwhile"
