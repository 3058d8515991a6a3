"""How the worker parent takes a message in: signature first, everything else after it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.worker import strategy as celery_strategy

from manycore.errors import ManycoreError, MessageRefused
from manycore.protocol.clock import ServerClock
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.serializer import Delivery
from manycore.protocol.signing import CONTENT_TYPE
from manycore.worker.context import worker_context
from manycore.worker.parent.refusals import refuse_message

logger = logging.getLogger(__name__)
MISSHAPEN = (*UNREADABLE, InvalidTaskError)
"""What Celery raises for a message that it cannot make a request of: the message's fault, not the connection's."""
_EMBEDDED: dict[str, Any] = {
    "callbacks": (list, tuple),
    "errbacks": (list, tuple),
    "chain": (list, tuple),
    "chord": dict,
}


def signed_only(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Celery's default strategy behind a check that the message decodes; one that does not is refused, not requeued."""
    accept = celery_strategy.default(task, app, consumer)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **kwargs: Any) -> Any:
        try:
            check_signed(message)
        except Exception as exc:  # kombu wraps what our decoder raises, and rejects other content types by itself
            return refuse(message, reason_of(exc))
        try:
            by_own_clock(message, worker_context(app).clock)
            return accept(message, body, ack, reject, callbacks, **kwargs)
        except MISSHAPEN as exc:
            return refuse(message, reason_of(exc))

    def refuse(message: Any, reason: ManycoreError) -> None:
        refuse_message(worker_context(app), message, reason)
        message.reject_log_error(logger, consumer.connection_errors)

    return handle


def check_signed(message: Any) -> None:
    """Raise for a message that is not signed. kombu lets an empty body and two content types through undecoded."""
    if message.content_type != CONTENT_TYPE or not message.body:
        raise MessageRefused("it is not one of manycore's messages")
    message.decode()  # kombu keeps the decoded form: Celery does not decode again


def by_own_clock(message: Any, clock: ServerClock) -> None:
    """Celery waits for an ETA by this host's clock; a chunk's is the server's. Raises ValueError for what is none."""
    eta, args = message.headers.get("eta"), message.payload[0]
    if eta and args and isinstance(args[0], Delivery):
        here = datetime.fromisoformat(eta) - timedelta(seconds=clock.ahead_of_host())
        message.headers = message.headers | {"eta": here.isoformat()}


def check_call(decoded: Any, task: str, task_id: str) -> None:
    """Raise `MessageRefused` unless what was signed is a call of the task and id that the headers name."""
    (found,), _, options = decoded  # as our serializer decodes a message
    if isinstance(found, Delivery):
        signed = (found.chunk.task, found.chunk.id)
    else:
        _check_shape(options)
        signed = (found.task, found.id)
    if signed != (task, task_id):
        raise MessageRefused(f"it was signed as {signed[0]}[{signed[1]}] and came as {task}[{task_id}]")


def _check_shape(options: Any) -> None:
    if not isinstance(options, dict):
        raise MessageRefused("what was signed is no call: its options are of another type")
    for name, kinds in _EMBEDDED.items():
        value = options.get(name)
        if value is None:
            continue
        if not isinstance(value, kinds) or not all(isinstance(entry, dict) for entry in value if kinds is not dict):
            raise MessageRefused(f"what was signed has {name} of another type")


def reason_of(exc: BaseException) -> ManycoreError:
    """What our decoder raised, which kombu wraps."""
    cause = exc if isinstance(exc, ManycoreError) else exc.__cause__ or exc.__context__
    return cause if isinstance(cause, ManycoreError) else MessageRefused(f"{type(exc).__name__}: {exc}")
