"""What Flower shows of our queues and tasks."""

from __future__ import annotations

from typing import Any

from manycore.protocol.broker import QUEUES


def show_all_queues() -> None:
    """Show the queues of all fleets: Flower itself shows those of the workers that it met when it started."""
    from flower.views import BaseHandler

    found = BaseHandler.get_active_queue_names
    BaseHandler.get_active_queue_names = lambda handler: sorted({*QUEUES, *found(handler)})


def unquote(task: Any) -> Any:
    """A chunk's result without the quotes of its repr: `500 ok`."""
    if task.result and task.result.startswith("'"):
        task.result = task.result.strip("'")
    return task
