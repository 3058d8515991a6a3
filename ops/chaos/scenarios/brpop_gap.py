"""kombu's gap (celery#7950): the proxy cuts exactly where a message is in no queue and not recorded, many times."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

from ops.chaos.mix import Result
from ops.chaos.proxy import Moment
from ops.chaos.scenarios.stage import scene
from ops.chaos.stage import Hit

AUDIT_SECONDS = "0.5"
"""Short: each lost message waits until its batch has been silent this long, twice."""
ITEMS = 300
"""Few, so that many messages carry them; one is poison, of which two copies may be under way."""
MOMENTS: tuple[Moment, ...] = ("gap", "record")
LET_PASS = 1
"""Every second message is lost: were it every one, no batch would ever end."""
PATIENCE_SECONDS = 60.0


def brpop_gap(seed: int, settings: Mapping[str, str], cuts: int, settle_seconds: float) -> Result:
    """Cut `cuts` times, by turns before the worker has the message and before its note of it arrives."""
    chosen = {"audit_seconds": AUDIT_SECONDS} | dict(settings)
    with scene(seed, chosen, settle_seconds=settle_seconds, items=ITEMS, hanging=0) as now:
        proxy = now.rig.proxy
        for moment in cycle(MOMENTS):
            if proxy.cuts >= cuts:
                break
            before = proxy.cuts
            proxy.arm(moment, let_pass=LET_PASS)
            if now.until(lambda before=before: proxy.cuts > before, PATIENCE_SECONDS) is None:  # type: ignore[misc]
                proxy.disarm()
                now.fail(f"after {before} cuts no worker took another message within {PATIENCE_SECONDS:g} s")
                break
            hit = Hit("cut-in-gap")
            hit.strike()
            now.result.hits.append(hit)
    return now.result
