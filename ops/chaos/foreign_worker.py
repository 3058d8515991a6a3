"""The foreign application's worker: Celery with its defaults, as somebody wrote it who never heard of manycore."""

from __future__ import annotations

import os
from pathlib import Path
from time import sleep

from celery import Celery

FOREIGN = "foreign"
QUEUE, LATER = "foreign-now", "foreign-later"
RUNS = "foreign.log"
LONG_SECONDS = 7.0
"""Longer than a lease of ours and its sweep."""

app = Celery(FOREIGN, broker=os.environ.get("FOREIGN_URL", ""))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task(name=f"{FOREIGN}.note")
def note(number: int, seconds: float) -> None:
    """Note that it runs."""
    with Path(os.environ["FOREIGN_FOLDER"], RUNS).open("a") as log:
        log.write(f"{number}\n")
    sleep(seconds)
