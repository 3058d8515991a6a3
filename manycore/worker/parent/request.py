"""A task inside the worker parent: what its child's death, or its own error, means for the message.

A chunk's death is noted for the item to blame before the message is requeued, a plain Celery call's for the call. Their
verdicts are given in a child, by whom the message comes to next: here is nothing but notes, and Celery's own ways.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.exceptions import Reject
from celery.worker import state
from celery.worker.request import Request
from redis import RedisError

from manycore.protocol.serializer import Delivery
from manycore.worker import blackbox, executions
from manycore.worker.context import worker_context
from manycore.worker.parent import deaths
from manycore.worker.parent.backend import NoMemory
from manycore.worker.parent.followers import Followers
from manycore.worker.summary import as_it_ended, is_acknowledged

logger = logging.getLogger(__name__)
LOST = (WorkerLostError, SystemExit, KeyboardInterrupt)
"""What Celery takes for the loss of the process that ran a call."""
ENDS = ("task-succeeded", "task-failed", "task-rejected")
"""What Flower is told of a delivery's end."""


class ChunkRequest(Request):
    """Celery's request. It tells the child no payload or argument: that decodes the message's body for itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        (found,) = self.args  # as our serializer decodes a message
        self.delivery = found if isinstance(found, Delivery) else None
        chunk = self.delivery.chunk if self.delivery is not None else None
        self.batch = chunk.batch if chunk is not None else ""
        self.followers = Followers(self, chunk) if chunk is not None and chunk.is_of_calls else None
        super().request_dict["args"] = [] if self.delivery is None else [Delivery(self.delivery.chunk, b"")]

    def __init_subclass__(cls, **options: Any) -> None:
        """Celery makes a class of this one for each task, with an `on_success` of its own."""
        super().__init_subclass__(**options)
        succeeded: Any = cls.on_success

        def on_success(self: ChunkRequest, outcome: Any, **kwargs: Any) -> Any:
            failed, text, _ = outcome
            if self.delivery is not None and not failed and is_acknowledged(text):
                self.message.channel.qos.is_done(self.message.delivery_tag)
            result = succeeded(self, outcome, **kwargs)
            if self.followers is not None:
                self.followers.end()
            return result

        cls.on_success = on_success

    @property
    def request_dict(self) -> dict[str, Any]:
        """What the child is told. Celery puts what it has decoded itself in the place of the arguments there."""
        known: dict[str, Any] = super().request_dict
        return known | {"args": []}

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What `inspect` is told. It cannot be told the arguments themselves: it speaks JSON, and they are pickles."""
        facts: dict[str, Any] = super().info(safe=True)
        return facts

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        # billiard wraps the exception to carry its traceback as text
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(exc, MemoryError):
            exc_info.exception = NoMemory(exc)  # Celery would raise it, here in the parent
        elif isinstance(exc, LOST):
            self._note_death(executions.HARMLESS if _stops() else cause_of(exc))
        elif isinstance(exc, Reject) and exc.requeue:
            self.note_end(executions.HARMLESS)
        result = super().on_failure(exc_info, send_failed_event, return_ok)
        if self.followers is not None:
            self.followers.end()
        return result

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """End its process, since the worker stops at once."""
        self._note_death(executions.HARMLESS)
        super().cancel(*args, **kwargs)

    def send_event(self, type: str, **fields: Any) -> None:
        """Tell Flower; of a chunk, as it ended, which Celery takes for a success however many of its items failed."""
        if type in ENDS and self.followers is not None and self.followers.are_some:
            return  # what came of this call is told with what followed
        if self.delivery is not None and type == "task-succeeded":
            type, fields = as_it_ended(str(fields.get("result") or "").strip("'\"").rstrip(), fields)
        super().send_event(type, **fields)

    def note_end(self, how: str) -> None:
        """Note how the execution of a plain call ended that did not end in order; of a chunk nothing."""
        if self.delivery is not None or not self.worker_pid:
            return
        try:
            executions.note(worker_context(self.app), self.id, self.worker_pid, how, redelivered=self._came_again)
        except RedisError as exc:
            logger.warning("The end of the call %s (%s) was not noted: %s", self.id, how, exc)

    def _note_death(self, cause: str) -> None:
        if self.delivery is None:
            if cause != executions.HARMLESS:
                logger.error("The call %s (%s) lost its process (%s)", self.id, self.name, cause)
            self.note_end(cause)
            return
        context = worker_context(self.app)
        reading = blackbox.read_any(context.folder, self.worker_pid) if self.worker_pid else None
        if reading is not None and reading.batch == self.batch:  # perhaps of a call that followed
            deaths.report(context, self.worker_pid, reading, cause)

    @property
    def _came_again(self) -> bool:
        return bool(self.delivery_info.get("redelivered"))


def _stops() -> bool:
    """Whether this worker was told to end. Who tells it may tell all of its processes (systemd, Slurm, a terminal)."""
    return state.should_stop is not None or state.should_terminate is not None


def cause_of(exc: BaseException) -> str:
    """`signal 9 (SIGKILL)` or `exit code 3`, out of Celery's message."""
    match = re.search(r"prematurely: (.*?)(?: Job: .*)?$", str(exc).rstrip("."))
    return match[1].strip().rstrip(".").replace("exitcode", "exit code") if match else str(exc)
