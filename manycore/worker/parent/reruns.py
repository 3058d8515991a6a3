"""What failed of a batch runs again at somebody's request: on a thread, since a batch may be of any size.

A request that is made again, since its answer did not come, gets the same new batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Thread
from typing import Any

from manycore.protocol.again import Retried, new_batch_id
from manycore.worker.context import WorkerContext

logger = logging.getLogger(__name__)
MOST = 100
"""Requests that are remembered."""
ANSWER_SECONDS = 3.0
"""So long the event loop may be kept. Flower waits for longer."""


def rerun(
    context: WorkerContext, batch: str, request: str, send: Callable[[str], Retried], seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """What is to be said of the new batch, which `send` sends under the id that it is given; `items` is None while that
    goes on. Raises what `send` does, if it does soon; then it may be asked for again.
    """
    known, new = context.reruns, new_batch_id(batch)
    asked = (batch, request or new)
    if asked not in known:
        known[asked] = new, Future()
        Thread(target=_settle, args=(known[asked][1], send, new), name="manycore-rerun", daemon=True).start()
        for oldest in list(known)[:-MOST]:
            del known[oldest]
    new, sent = known[asked]
    if not wait_for([sent], seconds).done:
        return {"batch": new, "items": None}
    if sent.exception() is not None:
        del known[asked]
    return {"batch": new, "items": len(sent.result().indices)}


def _settle(sent: Future[Retried], send: Callable[[str], Retried], new: str) -> None:
    try:
        sent.set_result(send(new))
    except Exception as exc:  # a boundary: whoever asked is told, if that still waits
        logger.warning("What failed of a batch could not be sent again, as %s: %s", new, exc)
        sent.set_exception(exc)
