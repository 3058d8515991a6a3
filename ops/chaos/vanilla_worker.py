"""The yardstick's Celery application, as its users would write it: acks_late and reject_on_worker_lost, no more.

It gets the short visibility timeout and the quick sweeps that manycore uses: with Celery's defaults (an hour, and a
sweep every 100 s) hardly anything that a worker took along would come back within a run.
"""

from __future__ import annotations

import os

from celery import Celery

from manycore.protocol.broker import SWEEP_SECONDS
from ops.chaos import items
from ops.chaos.rig import LEASE_SECONDS

URL = os.environ.get("MANYCORE_URL", "")

app = Celery("ops.chaos.vanilla_worker", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": LEASE_SECONDS,
        "unacked_restore_interval": SWEEP_SECONDS,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 5,
    },
)


@app.task
def work(index: int, seed: int, folder: str) -> int:
    """One item of the main batch."""
    return items.work(index, seed=seed, batch="vanilla", folder=folder)
