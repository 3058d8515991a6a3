"""Which run hears what this process writes and logs. Set up once in a process that runs items; chunks take turns.

Nothing of `logging` is replaced but the factory of records, its own extension point: handlers, levels and whatever
configuration an item makes stay as they are. Copies of the process that items fork are not listened to.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from manycore.errors import ItemTimeout
from manycore.protocol.failure import class_name
from manycore.protocol.logs import LOG
from manycore.protocol.pickling import text_of
from manycore.worker.child import tee
from manycore.worker.child.capture import Capture

OURS = frozenset({"manycore", "celery", "kombu", "billiard"})
"""Loggers that speak of the worker, not of its items."""


class Ears:
    """Of this process."""

    def __init__(self) -> None:
        self.of_process: Capture | None = None
        """Where one item runs at a time: whatever thread writes."""
        self._of_context: ContextVar[Capture | None] = ContextVar("manycore_capture", default=None)
        self._deaf = True

    def open(self) -> None:
        self._deaf = False

    def close(self) -> None:
        self.of_process, self._deaf = None, True

    def capture(self) -> Capture | None:
        """Who is to hear the calling thread."""
        return self.of_process or (None if self._deaf else self._of_context.get())

    @contextmanager
    def given_to(self, capture: Capture | None) -> Iterator[None]:
        """Let it hear what is written meanwhile: by any thread of a process that runs one item at a time; where several
        run, by what the calling thread begins in its context."""
        if threading.current_thread() is threading.main_thread():
            self.of_process = capture
            try:
                yield
            finally:
                self.of_process = None
            return
        token = self._of_context.set(capture)
        try:
            yield
        finally:
            self._of_context.reset(token)


ears = Ears()
os.register_at_fork(after_in_child=ears.close)


def begin(**_: Any) -> None:
    """Know from now on what runs in this process; takes what Celery's signals tell."""
    ears.open()


def listen(**_: Any) -> None:
    """Hear from now on what it writes and logs."""
    tee.install(ears)
    made = logging.getLogRecordFactory()

    def hearing(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        _hear(record)
        return record

    logging.setLogRecordFactory(hearing)


def _hear(record: logging.LogRecord) -> None:
    capture = ears.capture()
    # Without a name it is about to be filled with another record's fields (`makeLogRecord`).
    if capture is None or not record.name or record.name.partition(".")[0] in OURS:
        return
    text = f"{_message(record)}\n"
    if record.exc_info or record.stack_info:
        text += _details(record)
    capture.hear(LOG, text.encode(errors="backslashreplace"), "utf-8", record.levelname, record.name)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except ItemTimeout:
        raise  # the limit's, not the message's
    except Exception as exc:  # as any handler does with a broken format, and with arguments that cannot be shown
        return f"{text_of(record.msg):.200} ({class_name(exc)} while it was formatted)"


def _details(record: logging.LogRecord) -> str:
    formatter = logging.Formatter()
    try:
        trace = formatter.formatException(record.exc_info) if record.exc_info else ""
    except ItemTimeout:
        raise
    except Exception as exc:  # an exception's own text
        trace = f"({class_name(exc)} while the traceback was formatted)"
    return "".join(f"{part}\n" for part in (trace, record.stack_info) if part)
