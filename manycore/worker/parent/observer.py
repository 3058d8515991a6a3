"""Says what the slots of this worker do: from Celery's requests and the black boxes of the children, asking nobody."""

from __future__ import annotations

import os
from time import time
from typing import Any

from celery.worker import state

from manycore.protocol.activity import Activity, Busy
from manycore.worker import blackbox
from manycore.worker.context import worker_context
from manycore.worker.parent.leases import Leases

MAX_BUSY = 256
"""Slots that are told of: a record is read by everybody who looks."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Observer:
    """Of one consumer; called in the parent's event loop."""

    def __init__(self, consumer: Any, queues: list[str]) -> None:
        self._context = worker_context(consumer.app)
        self._worker: str = consumer.hostname
        self._slots: int = consumer.controller.concurrency
        self._queues = tuple(queues)
        self._leases = Leases(consumer)

    def look(self, now: float) -> Activity:
        """What they do now, by the server's clock."""
        ahead = now - time()
        requests = [request for request in list(state.active_requests) if request.worker_pid][:MAX_BUSY]
        busy = tuple(self._busy(request, ahead) for request in requests)
        return Activity(self._worker, self._slots, self._queues, len(self._leases.held()), _memory(), busy)

    def _busy(self, request: Any, ahead: float) -> Busy:
        since = (request.time_start or time()) + ahead
        if request.delivery is None:
            return Busy(request.worker_pid, request.name, since)
        chunk = request.delivery.chunk
        reading = blackbox.read(self._context.folder, request.worker_pid)
        is_its = reading is not None and reading.batch == chunk.batch and reading.index >= 0
        item = reading.index if reading is not None and is_its else None
        follows = reading is not None and is_its and reading.chunk != chunk.id  # its slot stayed for another call
        items = f"item {item}" if follows else chunk.describe().partition(",")[0]
        return Busy(request.worker_pid, request.name, since, chunk.batch, items, item)


def _memory() -> int:
    """Resident bytes of this process and its children."""
    return sum(map(_resident, [os.getpid(), *_children()]))


def _children() -> list[int]:
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        try:
            found += map(int, _read(f"/proc/self/task/{thread}/children").split())
        except OSError:  # a thread that has ended meanwhile
            continue
    return found


def _resident(pid: int) -> int:
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):  # a process that has ended meanwhile
        return 0


def _read(path: str) -> bytes:
    """Half of what `Path.read_text` takes, for each child at each beat."""
    with open(path, "rb", buffering=0) as file:
        return file.read()
