"""What a hangup (SIGHUP) means to a worker: the end of its terminal, or session, and so what SIGTERM means.

Celery would start the worker again by `sys.argv`: without the join token that it was given once, and, where Python was
started with `-m`, with another `sys.path`. With a terminal, the parent would die at once and its work wait for a lease.
"""

from __future__ import annotations

import signal
from typing import Any

from celery.apps import worker


class Worker(worker.Worker):
    """Celery's, which listens to signals once it starts, and before it has children."""

    def install_platform_tweaks(self, worker: Any) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # its starter wants it so: nohup
        super().install_platform_tweaks(worker)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.getsignal(signal.SIGTERM))
