"""Lets a moment pass before a worker connects anew.

A server that answers with an error, at the first write of each connection, would be connected to a hundred times a
second: Celery waits between attempts only where nobody answers.
"""

from __future__ import annotations

from time import sleep
from typing import Any

from celery import bootsteps

from manycore.protocol.broker import RECONNECT_SECONDS


class ReconnectStep(bootsteps.StartStopStep):
    """Celery stops each step of the consumer, and starts it again, with every new connection."""

    def stop(self, consumer: Any) -> None:
        sleep(RECONNECT_SECONDS)
