"""The server is killed and started again in the middle of batches, or hangs for minutes: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping

from ops.chaos.mix import Result
from ops.chaos.scenarios.stage import Scene, scene
from ops.chaos.stage import Hit

BETWEEN_ITEMS = 150
"""How many outcomes come between two kills: so each one meets a batch that is under way."""
DOWN_SECONDS = 0.5
RESUME_SECONDS = 60.0
PATIENCE_SECONDS = 90.0


def redis_restarts(seed: int, settings: Mapping[str, str], restarts: int) -> Result:
    """SIGKILL the server `restarts` times; it comes back with its append-only file."""
    with scene(seed, settings, items=3000) as now:
        for _ in range(restarts):
            if not _more_arrive(now, BETWEEN_ITEMS):
                break
            hit = Hit("restart-server")
            hit.strike()
            now.rig.server.kill()
            now.until(lambda: False, DOWN_SECONDS)
            now.rig.server.start()
            now.until(now.rig.server.answers)
            hit.undone()
            now.result.hits.append(hit)
        _more_arrive(now, 1)
    return now.result


def redis_pause(seed: int, settings: Mapping[str, str], seconds: float) -> Result:
    """SIGSTOP the server under load; work must go on within a minute of SIGCONT."""
    patience = {"connection_seconds": f"{seconds + 2 * RESUME_SECONDS:g}"}
    with scene(seed, patience | dict(settings), items=3000) as now:
        _more_arrive(now, BETWEEN_ITEMS)
        hit = Hit("pause-server")
        hit.strike()
        now.rig.server.pause()
        now.until(lambda: False, seconds)
        now.rig.server.resume()
        hit.undone()
        now.result.hits.append(hit)
        before = now.arrivals()
        if now.until(lambda: now.arrivals() > before, RESUME_SECONDS) is None:
            now.fail(f"no outcome came within {RESUME_SECONDS:g} s of the end of the pause")
    return now.result


def _more_arrive(now: Scene, count: int) -> bool:
    wanted = now.arrivals() + count
    if now.until(lambda: now.arrivals() >= wanted, PATIENCE_SECONDS) is None:
        now.fail(f"no {count} outcomes came within {PATIENCE_SECONDS:g} s")
        return False
    return True
