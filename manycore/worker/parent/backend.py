"""The result backend: Celery's Redis backend for plain calls; for chunks, the batch's outcome stream.

Children write outcomes as they come (`courier`). What Celery itself decides, in the parent or around the task, comes
here: a refused chunk, a revoked one, an error outside the items. No result is rebuilt in a parent whose children run
the calls: all that Celery asks there is how a call ended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery.states import SUCCESS

from manycore.errors import BatchCancelled, ManycoreError, MessageRefused, RemoteError
from manycore.protocol.backend import ResultBackend
from manycore.protocol.failure import class_name
from manycore.protocol.message import Chunk
from manycore.protocol.pickling import text_of
from manycore.protocol.results import head_of
from manycore.protocol.serializer import Delivery
from manycore.worker.context import worker_context
from manycore.worker.outage import outlast
from manycore.worker.parent.refusals import refuse_chunk

logger = logging.getLogger(__name__)


class NoMemory(Exception):
    """Carries a `MemoryError` past Celery, which raises one that it meets in a worker's parent there."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    def __repr__(self) -> str:
        return repr(self.error)


class OutcomeBackend(ResultBackend):
    """Stores results of plain calls, and turns the failure of a whole chunk into outcomes of its items."""

    def mark_as_failure(self, task_id: str, exc: BaseException, *args: Any, **kwargs: Any) -> Any:
        exc = exc.error if isinstance(exc, NoMemory) else exc
        chunk = _chunk(kwargs.get("request"))
        if chunk is None:
            return super().mark_as_failure(task_id, exc, *args, **kwargs)
        if not isinstance(exc, ManycoreError):
            exc = RemoteError(class_name(exc), text_of(exc), "it ended a chunk")
        return refuse_chunk(worker_context(self.app), chunk, exc)

    def mark_as_revoked(self, task_id: str, reason: str = "", request: Any = None, **kwargs: Any) -> Any:
        chunk = _chunk(request)
        if chunk is None:
            return super().mark_as_revoked(task_id, reason, request=request, **kwargs)
        return refuse_chunk(worker_context(self.app), chunk, BatchCancelled(chunk.batch))

    def get(self, key: Any) -> Any:
        parent: Any = super()
        try:
            return outlast(worker_context(self.app), lambda: parent.get(key))
        except MessageRefused as exc:  # what nobody of ours wrote there is no reason to write nothing
            logger.warning("What is kept as the result of a call is not its own: %s", exc)
            return None

    def set(self, key: Any, value: Any, **options: Any) -> Any:
        parent: Any = super()
        return outlast(worker_context(self.app), lambda: parent.set(key, value, **options))

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> Any:
        parent: Any = super()
        return outlast(worker_context(self.app), lambda: parent.on_chord_part_return(request, state, result, **options))

    def succeeded(self, task_id: str) -> bool:
        """Whether the success of this call is stored."""
        payload = self.get(self.get_key_for_task(task_id))
        return payload is not None and head_of(self.keyring, payload)["status"] == SUCCESS

    def decode_result(self, payload: Any) -> dict[str, Any]:
        if not worker_context(self.app).runs_items:
            return head_of(self.keyring, bytes(payload))
        meta: dict[str, Any] = super().decode_result(payload)
        return meta


def _chunk(request: Any) -> Chunk | None:
    args: Sequence[Any] = getattr(request, "args", None) or ()
    return args[0].chunk if args and type(args[0]) is Delivery else None
