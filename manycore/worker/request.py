"""A chunk inside the worker parent: notes what killed its child, before the message is requeued."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from manycore.message import Chunk
from manycore.serializer import Delivery
from manycore.worker import blackbox, strikes

logger = logging.getLogger(__name__)
T = TypeVar("T")


class ChunkRequest(Request):
    """Celery's request. It keeps the chunk without its payload: the child decodes the body for itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.delivery = next((arg for arg in self.args if isinstance(arg, Delivery)), None)
        if self.delivery is not None:
            self.request_dict["args"] = (Delivery(self.delivery.chunk, b""),)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        # billiard wraps the exception to carry its traceback as text
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        if self.delivery is not None and isinstance(exc, WorkerLostError):
            self._note_death(self.delivery.chunk, exc)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _note_death(self, chunk: Chunk, exc: WorkerLostError) -> None:
        context = self.app.manycore
        reading = blackbox.read(context.folder, self.worker_pid) if self.worker_pid else None
        if reading is None or reading.chunk != self.id:
            return  # it died between items: nobody is to blame
        # Why it came again may be known to nobody: a parent that was killed, too, before it had noted the death.
        unseen = int(bool(self.delivery_info.get("redelivered")))
        ttl = context.settings.batch_ttl_seconds
        try:
            strike = on_new_connection(
                lambda: strikes.record(context.redis, chunk, reading, cause_of(exc), ttl, unseen=unseen)
            )
        except redis.RedisError:
            logger.exception("The death of item %s could not be noted; it counts as none", reading.position)
            return
        logger.error(
            "Item %d of batch %s killed its process (%s), time %d",
            chunk.index(reading.position),
            chunk.batch,
            strike.cause,
            strike.count,
        )


def on_new_connection(step: Callable[[], T]) -> T:
    """Do `step`, once more if its connection was cut: the next one is new."""
    try:
        return step()
    except redis.ConnectionError:
        return step()


def cause_of(exc: BaseException) -> str:
    """`signal 9 (SIGKILL)` or `exit code 3`, out of Celery's message."""
    match = re.search(r"prematurely: (.*?)(?: Job: .*)?$", str(exc).rstrip("."))
    return match[1].strip().rstrip(".").replace("exitcode", "exit code") if match else str(exc)
