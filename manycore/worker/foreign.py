"""Keeps another project's settings of Celery from this worker, and from nobody else.

Celery, kombu and billiard read the environment when they are imported and when a worker starts, often before their own
configuration. While that lasts such variables are set aside; where items run they are back, since an item may well
want to talk to that other project.
"""

from __future__ import annotations

import os
from typing import Any

PREFIXES = ("CELERY_", "KOMBU_", "_MP_FORK_")
NAMES = frozenset({
    # options of the command `celery`
    "APP", "BROKER_URL", "CONFIG_MODULE", "LOADER", "RESULT_BACKEND", "SKIP_CHECKS",
    # switches that are read at import
    "AUTOSCALE_KEEPALIVE", "C_BENCH", "C_BENCH_EVERY", "C_FAKEFORK", "C_IMPDEBUG", "C_REMDEBUG", "C_STRICT_APP",
    "C_WARN_APP", "C_WNOCONF", "DISABLE_TRACEBACKS", "EVENTLET_NOBLOCK", "FORKED_BY_MULTIPROCESSING", "MP_LOG",
    "MP_MAIN_FILE", "MULTIPROCESSING_FORKING_DISABLE", "PICKLE_PROTOCOL", "REMAP_SIGTERM", "TIMER_DEBUG",
    "USE_FAST_LOCALS",
})  # fmt: skip


class Foreign:
    """What was taken out of the environment of this process."""

    def __init__(self) -> None:
        names = [name for name in os.environ if name.startswith(PREFIXES) or name in NAMES]
        self._variables = {name: os.environ.pop(name) for name in names}

    def give_back(self, **_: Any) -> None:
        """Put them back, but for those that Celery has set itself meanwhile. A handler of Celery's signals."""
        for name, value in self._variables.items():
            os.environ.setdefault(name, value)
