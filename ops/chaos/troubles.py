"""The server's faults: it is killed, hangs, loads, or refuses to write. One small function each, as in `faults`."""

from __future__ import annotations

from contextlib import suppress

import redis

from manycore.protocol.broker import AWAY
from ops.chaos.stage import LOOK_SECONDS, Hit, Stage, Steps

LONGEST_PAUSE_SECONDS = 4.0
LONGEST_DOWN_SECONDS = 1.5
LONGEST_TROUBLE_SECONDS = 3.0


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


def load_slowly(stage: Stage, hit: Hit) -> Steps:
    """The server is killed, and says LOADING for a while once it is back."""
    server = stage.rig.server
    if server.answers():
        hit.strike()
        server.kill()
        yield 0.0
        server.start(loading_seconds=stage.dice.uniform(0.5, LONGEST_TROUBLE_SECONDS))
        while not server.answers():
            yield LOOK_SECONDS
        hit.undone()


def refuse_writes(stage: Stage, hit: Hit) -> Steps:
    """NOREPLICAS: the server wants a replica before it takes a write, and has none."""
    yield from _troubled(stage, hit, {"min_replicas_to_write": "1"}, {"min_replicas_to_write": "0"})


def fail_snapshot(stage: Stage, hit: Hit) -> Steps:
    """MISCONF: a snapshot failed, as on a full disk, and the server takes no write before one succeeds."""
    server = stage.rig.server
    if server.configure(save="3600 1"):
        with suppress(*AWAY, redis.ResponseError), server.client() as client:
            client.bgsave()
        yield from _troubled(stage, hit, {}, {"save": ""})


def fill_server(stage: Stage, hit: Hit) -> Steps:
    """OOM: no memory is left for what would take more."""
    yield from _troubled(stage, hit, {"maxmemory": "1mb"}, {"maxmemory": "0"})


def _troubled(stage: Stage, hit: Hit, trouble: dict[str, str], right: dict[str, str]) -> Steps:
    """Let the server refuse writes for a while. A restart meanwhile ends it too."""
    server = stage.rig.server
    if not server.configure(**trouble):
        return
    hit.strike()
    yield stage.dice.uniform(0.3, LONGEST_TROUBLE_SECONDS)
    while not server.configure(**right):
        yield LOOK_SECONDS
    hit.undone()
