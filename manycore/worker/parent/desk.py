"""What somebody in Flower asks a worker for, since it needs the signing key: the quarantine, and what is to run again.

They are commands of Celery's remote control, which are not signed: they run again what was signed, or delete what was
put aside, and nothing else. A worker does them on the thread of its event loop; each is bounded, as `reruns` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from celery.worker.control import control_command, inspect_command
from redis import RedisError

from manycore.errors import ManycoreError
from manycore.protocol.again import Resender
from manycore.quarantine import Quarantine
from manycore.quarantine.shown import brief, whole
from manycore.worker.context import worker_context
from manycore.worker.parent.reruns import rerun

MOST = 100
"""Entries that one answer lists, and one request changes."""


def _answered(question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer, or what keeps it from being given."""
    try:
        return question()
    except (ManycoreError, RedisError) as exc:
        return {"error": str(exc)}


def open_for_questions() -> None:
    """Let Celery know the commands; for it, they are there once this module is imported."""


@inspect_command()
def quarantine_list(state: Any, limit: int = MOST, batch: str = "", **_: Any) -> dict[str, Any]:
    """The newest entries of the quarantine, or of one batch, and how many there are."""

    def ask() -> dict[str, Any]:
        most = min(int(limit), MOST)
        with _quarantine(state) as found:
            if batch:
                items = found.of_batch(batch)
                return {"entries": [brief(item) for item in items[:most]], "total": len(items)}
            return {"entries": [brief(entry) for entry in found.newest(most)], "total": found.total()}

    return _answered(ask)


@inspect_command()
def quarantine_show(state: Any, entry: str = "", **_: Any) -> dict[str, Any]:
    """All that is known of one entry."""

    def ask() -> dict[str, Any]:
        with _quarantine(state) as found:
            return whole(found.find([entry])[0])

    return _answered(ask)


@control_command()
def quarantine_retry(state: Any, entries: Sequence[str] = (), **_: Any) -> dict[str, Any]:
    """Run these poison items again, as new batches; gives their ids."""

    def ask() -> dict[str, Any]:
        with _quarantine(state) as found:
            return {"batches": [found.retry(items).batch for items in found.retryable(entries[:MOST])]}

    return _answered(ask)


@control_command()
def quarantine_purge(state: Any, entries: Sequence[str] = (), **_: Any) -> dict[str, Any]:
    """Remove these entries for good."""

    def ask() -> dict[str, Any]:
        with _quarantine(state) as found:
            return {"removed": found.purge(entries[:MOST])}

    return _answered(ask)


@control_command()
def rerun_failed(state: Any, batch: str = "", request: str = "", **_: Any) -> dict[str, Any]:
    """Run the failed items of a named batch again, as a new batch; gives its id. The same `request` gets the same."""

    def ask() -> dict[str, Any]:
        context = worker_context(state.app)
        resender = Resender(context.redis, context.publisher, context.keyring, context.settings.batch_ttl_seconds)
        return rerun(context, batch, request, lambda new: resender.rerun_failed(batch, new))

    return _answered(ask)


def _quarantine(state: Any) -> Quarantine:
    return Quarantine(settings=worker_context(state.app).settings)
