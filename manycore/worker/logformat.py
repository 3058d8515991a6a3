"""A worker's own log as JSON, an object a line (`MANYCORE_LOGFORMAT=json`): with batch, item and attempt.

What items print is not the worker's log: it goes to standard output as it is.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from celery.utils.log import get_multiprocessing_logger

from manycore.worker.child.ears import ears


class JsonFormatter(logging.Formatter):
    """Fields: `time`, `level`, `logger`, `message`, `worker`, `pid`; `batch`, `index`, `attempt` where an item runs;
    `exception` with its traceback."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "worker": self._worker,
            "pid": record.process,
        }
        capture = ears.capture()
        if capture is not None:
            told |= capture.subject()
        trace = [self.formatException(record.exc_info)] if record.exc_info else []
        trace += [self.formatStack(record.stack_info)] if record.stack_info else []
        if trace:
            told["exception"] = "\n".join(trace)
        return json.dumps(told)


def format_as_json(worker: str, logger: logging.Logger) -> None:
    """Let the handlers that Celery has just made write JSON."""
    formatter = JsonFormatter(worker)
    for handler in (*logger.handlers, *get_multiprocessing_logger().handlers):
        handler.setFormatter(formatter)
