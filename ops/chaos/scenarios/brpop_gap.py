"""kombu's gap (celery#7950): the proxy cuts exactly where a message has left its queue, and nobody has it."""

from __future__ import annotations

from collections.abc import Mapping

from ops.chaos.mix import Result
from ops.chaos.scenarios.stage import scene
from ops.chaos.stage import Hit

ITEMS = 300
"""Few, so that many messages carry them; one is poison, of which two copies may be under way."""
LET_PASS = 1
"""Every second message is lost: were it every one, no batch would ever end."""
PATIENCE_SECONDS = 60.0


def brpop_gap(seed: int, settings: Mapping[str, str], cuts: int, settle_seconds: float) -> Result:
    """Cut `cuts` times."""
    with scene(seed, dict(settings), settle_seconds=settle_seconds, items=ITEMS, hanging=0) as now:
        proxy = now.rig.proxy
        while proxy.cuts < cuts:
            before = proxy.cuts
            proxy.arm(let_pass=LET_PASS)
            if now.until(lambda before=before: proxy.cuts > before, PATIENCE_SECONDS) is None:  # type: ignore[misc]
                proxy.disarm()
                now.fail(f"after {before} cuts no worker took another message within {PATIENCE_SECONDS:g} s")
                break
            hit = Hit("cut-in-gap")
            hit.strike()
            now.result.hits.append(hit)
    return now.result
