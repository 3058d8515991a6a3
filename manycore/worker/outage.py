"""Outlasts a server that is away, full, or takes no writes, in what Celery does around a plain call.

There Celery gives up after some seconds, and makes the outage the call's result: of one that ran, or will run again.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING, TypeVar

import redis
from kombu.exceptions import OperationalError

from manycore.errors import ConnectionFailed
from manycore.protocol.broker import AWAY, FULL
from manycore.protocol.patience import Patience, Trouble

if TYPE_CHECKING:
    from manycore.worker.context import WorkerContext

T = TypeVar("T")
OUTAGE = Trouble((redis.AuthenticationError,), (), (*AWAY, FULL, OperationalError))
"""What ends by itself. Any other error of a server is an answer: a result too large for it, for one."""


def outlast(context: WorkerContext, step: Callable[[], T]) -> T:
    """What `step` gives, once the server takes it.

    Who runs calls waits as long as that lasts, or until the worker ends: there is nothing else to do. A parent has, and
    raises `ConnectionFailed` after `connection_seconds`.
    """
    patience = Patience(context.settings, _pause, OUTAGE)
    while True:
        try:
            return patience.ride_out(step)
        except ConnectionFailed:
            if not context.runs_items:
                raise


def _pause(seconds: float) -> bool:
    sleep(seconds)
    return False
