"""Celery's consumer, which keeps no chunk for whose time it has waited and has no slot for by now.

A retry has its time. Celery takes it at once, waits for that, and takes what comes next meanwhile: then the retry would
wait behind it in this parent, where nobody sees it, for as long as that takes. In its list a running chunk sees it, and
leaves its slot to it (`child/splitting`); so does another worker.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import consumer, state
from redis import RedisError

from manycore.protocol.priority import list_of
from manycore.worker.context import WorkerContext, worker_context

logger = logging.getLogger(__name__)


class Consumer(consumer.Consumer):
    """Chosen by Celery's own setting `worker_consumer`."""

    def apply_eta_task(self, task: Any) -> None:
        """Run what has waited for its time, or leave it to who has a slot."""
        if not self._puts_back(task):
            super().apply_eta_task(task)
        self.qos.update()  # before the next turn of the event loop, which else would take one more than there are slots

    def _puts_back(self, request: Any) -> bool:
        """Whether this was put back. A plain call never is: each time that it is delivered is counted."""
        if not getattr(request, "delivery", None) or self._has_room(request, worker_context(self.app)):
            return False
        queue, options = request.delivery_info["routing_key"], request.delivery.chunk.options
        message = request.message
        try:
            message.channel.qos.put_back(message.delivery_tag, queue, list_of(queue, options.priority, later=False))
        except RedisError as exc:
            logger.warning("A chunk for which there is no slot could not be put back, and waits here: %s", exc)
            return False
        state.task_ready(request)
        self.qos.decrement_eventually()
        return True

    def _has_room(self, request: Any, context: WorkerContext) -> bool:
        """Whether a slot is idle, or it would be taken again all the same: Celery's own options may want that, and what
        runs since before a connection was lost counts against nothing that comes by this one."""
        if context.noticeboard.drains:
            return False
        most = self.initial_prefetch_count
        if not most or len(state.reserved_requests) < max(context.slots, most):
            return True
        self.qos.update()
        return bool(request.message.channel.qos.can_consume_max_estimate() != 0)
