"""What leases promise: a dead host's chunk runs elsewhere soon, and an item is not run twice for being long."""

from __future__ import annotations

import random
from collections.abc import Mapping
from signal import SIGKILL

from ops.chaos.mix import Result
from ops.chaos.rig import LEASE_SECONDS
from ops.chaos.scenarios.stage import Scene, scene
from ops.chaos.stage import Hit

GRACE_SECONDS = 5.0
"""What a recovery may take beyond the lease: the sweep, and a busy machine."""


def recovery(seed: int, settings: Mapping[str, str], kills: int) -> Result:
    """SIGKILL a busy host `kills` times, each after the last one's chunk runs again."""
    lease = float(settings.get("lease_seconds", LEASE_SECONDS))
    dice = random.Random(seed)
    with scene(seed, settings, items=3000, hanging=0) as now:
        for _ in range(kills):
            _kill_host(now, dice, lease + GRACE_SECONDS)
    slowest = max(now.result.recoveries.get("kill-host", [0.0]))
    if slowest > lease + GRACE_SECONDS:
        now.fail(f"a recovery took {slowest:.1f} s, promised are {lease:g} s + {GRACE_SECONDS:g} s")
    return now.result


def long_item(seed: int, settings: Mapping[str, str], seconds: float) -> Result:
    """One item of `seconds`, several leases long: it runs once."""
    with scene(seed, settings, settle_seconds=seconds + 60, items=1, hanging=0, lanes=1, seconds=seconds) as now:
        now.load.begin()
    runs = now.result.verdict.max_runs
    if runs != 1:
        now.fail(f"the item was executed {runs} times")
    return now.result


def _kill_host(now: Scene, dice: random.Random, seconds: float) -> None:
    now.until(lambda: now.rig.busy_host(dice) is not None)
    host = now.rig.busy_host(dice)
    if host is None:
        return
    hit = Hit("kill-host")
    hit.strike(now.rig.busy_children(host))
    host.signal_all(SIGKILL)
    now.result.hits.append(hit)
    now.until(lambda: False, seconds)
