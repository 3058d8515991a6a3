"""A chunk inside the worker parent: notes what killed its child, before the message is requeued."""

from __future__ import annotations

import re
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from manycore.protocol.serializer import Delivery
from manycore.worker import blackbox
from manycore.worker.parent import deaths


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
            self._note_death(exc)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _note_death(self, exc: WorkerLostError) -> None:
        context = self.app.manycore
        reading = blackbox.read(context.folder, self.worker_pid) if self.worker_pid else None
        if reading is not None and reading.chunk == self.id:  # else it died between items: nobody is to blame
            deaths.note(context, self.worker_pid, reading, cause_of(exc))


def cause_of(exc: BaseException) -> str:
    """`signal 9 (SIGKILL)` or `exit code 3`, out of Celery's message."""
    match = re.search(r"prematurely: (.*?)(?: Job: .*)?$", str(exc).rstrip("."))
    return match[1].strip().rstrip(".").replace("exitcode", "exit code") if match else str(exc)
