"""A task inside the worker parent: what its child's death, or its own error, means for the message.

A chunk's death is noted for the item to blame before the message is requeued. A plain Celery call has no items: its
deaths are counted, and the last that it may cause ends it.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker import state
from celery.worker.request import Request
from redis import RedisError

from manycore.errors import WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.serializer import Delivery
from manycore.worker import blackbox
from manycore.worker.context import worker_context
from manycore.worker.parent import deaths

logger = logging.getLogger(__name__)


class ChunkRequest(Request):
    """Celery's request. It tells the child no payload or argument: that decodes the message's body for itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        (found,) = self.args  # as our serializer decodes a message
        self.delivery = found if isinstance(found, Delivery) else None
        self.request_dict["args"] = [] if self.delivery is None else [Delivery(self.delivery.chunk, b"")]

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What `inspect` is told. It cannot be told the arguments themselves: it speaks JSON, and they are pickles."""
        facts: dict[str, Any] = super().info(safe=True)
        return facts

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        # billiard wraps the exception to carry its traceback as text
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        if self.delivery is not None and isinstance(exc, WorkerLostError):
            self._note_death(exc)
        if self.delivery is None:
            verdict = self._verdict(exc)
            if verdict is not None:
                return self._end(verdict, exc_info)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _verdict(self, exc: BaseException) -> BaseException | None:
        """What ends a plain call here; None to leave it to Celery, which would raise MemoryError in this parent."""
        if isinstance(exc, MemoryError):
            return exc
        if not isinstance(exc, WorkerLostError | SystemExit | KeyboardInterrupt):
            return None
        deaths_so_far = self._count_death()
        if deaths_so_far < worker_context(self.app).settings.max_executions:
            return None
        return WorkerCrashed(deaths_so_far, cause_of(exc))

    def _count_death(self) -> int:
        context, key = worker_context(self.app), keys.plain_deaths(self.id)
        pipe = context.redis.pipeline(transaction=False)
        pipe.incr(key)
        pipe.expire(key, context.settings.batch_ttl_seconds)
        try:
            return int(pipe.execute()[0])
        except RedisError as exc:
            logger.warning("A death of the task %s was not counted: %s", self.id, exc)
            return 0

    def _end(self, error: BaseException, exc_info: Any) -> None:
        """Make `error` the result of a plain call, and take its message off the queue."""
        state.task_ready(self)
        self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
        self.acknowledge()
        self.send_event("task-failed", exception=repr(error), traceback=str(exc_info.traceback))

    def _note_death(self, exc: WorkerLostError) -> None:
        context = worker_context(self.app)
        reading = blackbox.read(context.folder, self.worker_pid) if self.worker_pid else None
        if reading is not None and reading.chunk == self.id:  # else it died between items: nobody is to blame
            deaths.report(context, self.worker_pid, reading, cause_of(exc))


def cause_of(exc: BaseException) -> str:
    """`signal 9 (SIGKILL)` or `exit code 3`, out of Celery's message."""
    match = re.search(r"prematurely: (.*?)(?: Job: .*)?$", str(exc).rstrip("."))
    return match[1].strip().rstrip(".").replace("exitcode", "exit code") if match else str(exc)
