"""The client is killed at random moments, half of them while it submits, and the same program is run again."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ops.chaos.mix import Result
from ops.chaos.scenarios.stage import scene
from ops.chaos.stage import Hit

ITEMS = 6000
SUBMIT_SECONDS = 0.3
"""A batch of this size is on its way within this time of the client's connection."""
GATHERED_ITEMS = 500


def client_kills(seed: int, settings: Mapping[str, str], kills: int) -> Result:
    """One batch whose client is killed `kills` times; all of it is gathered in the end."""
    dice = random.Random(seed)
    with scene(seed, settings, items=ITEMS, hanging=0, lanes=1) as now:
        now.load.begin()
        now.load.closing = True
        for number in range(kills):
            now.until(now.load.connected)
            if number % 2:
                now.until(lambda: False, dice.uniform(0, SUBMIT_SECONDS))
            else:
                wanted = now.arrivals() + dice.randrange(1, GATHERED_ITEMS)
                now.until(lambda wanted=wanted: now.arrivals() >= wanted or now.load.done)  # type: ignore[misc]
            for order in now.load.unfinished():
                order.connected.unlink(missing_ok=True)
            hit = Hit("kill-client")
            if now.load.kill_one(dice):
                hit.strike()
                now.result.hits.append(hit)
            now.tick()
    return now.result
