"""Plain Celery calls, as a careful Celery user makes them: one without an answer for a while is called again.

A call, and an answer, can be lost with a server that lost its last second. But the workers answer each one rightly,
and bound what kills them.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis import RedisError

from manycore import Cluster
from manycore.plain import celery_app
from ops.chaos.doors.door import CRASHED, Book, Door, Part, as_text, mixed_oracle
from ops.chaos.items import kind_of
from ops.chaos.order import Order

CALLS = "plain"
TASK = "chaos.plain"
PATIENCE_SECONDS = 20.0
"""How long an answer is waited for before the call is made again; longer than a lease, its sweep and an outage."""
POLL_SECONDS = 0.1
TROUBLE = (OperationalError, RedisError, OSError)
LOST = "WorkerLostError"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    page = book.page(CALLS, order.unnamed(CALLS))
    app = celery_app()
    open_calls, sendings = dict.fromkeys(range(order.items)), 0
    while open_calls:
        batch = page.batch if not sendings else f"{page.batch}.{sendings}"
        waiting = {index: send(app, order, batch, index) for index in open_calls}
        for index, text in answered(waiting):
            del open_calls[index]
            book.came(page, index, text)
        sendings += 1
        book.sent_again += len(open_calls)


def send(app: Any, order: Order, batch: str, index: int) -> AsyncResult[Any] | None:
    """Make a call; None if it could not leave."""
    deadline = monotonic() + PATIENCE_SECONDS
    while monotonic() < deadline:
        try:
            return app.send_task(TASK, (index, order.seed, batch, order.folder))
        except TROUBLE:
            Event().wait(POLL_SECONDS)
    return None


def answered(waiting: dict[int, Any]) -> Iterator[tuple[int, str]]:
    """The answers that come within `PATIENCE_SECONDS`, each with its call."""
    deadline = monotonic() + PATIENCE_SECONDS
    rest = {index: result for index, result in waiting.items() if result is not None}
    while rest and monotonic() < deadline:
        for index, result in list(rest.items()):
            try:
                if not result.ready():
                    continue
                text = as_text(result.result)
            except TROUBLE:
                break
            del rest[index]
            yield index, text
        Event().wait(POLL_SECONDS)


def parts(order: Order) -> dict[str, Part]:
    oracle = mixed_oracle(order)
    for index, texts in oracle.items():
        if CRASHED in texts:
            oracle[index] = frozenset([CRASHED, LOST])
        elif kind_of(order.seed, index) == "leave":
            oracle[index] = frozenset(["Flaw"])
    return {CALLS: Part(oracle, listed=False)}


DOOR = Door("plain", run, parts, size=lambda items: max(30, items // 20))
