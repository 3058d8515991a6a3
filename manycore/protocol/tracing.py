"""OpenTelemetry's trace context, from the caller to its items: in the signed message, where the caller has a span.

Without `opentelemetry-api` in the caller's process nothing happens, and nothing is imported. Spans are made by whatever
tracer the caller and the workers have set up; setting one up is theirs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)
Carried = tuple[tuple[str, str], ...]
"""What the propagators of OpenTelemetry wrote, such as `("traceparent", "00-...")`."""
MAX_CARRIED_BYTES = 8 * 1024
"""Baggage beyond that stays where it is."""
NAME = "manycore"


def in_use() -> bool:
    """Whether this process has imported OpenTelemetry: who has not, has no span either."""
    return "opentelemetry.trace" in sys.modules


def carried() -> Carried:
    """The trace context of the calling thread; nothing if there is none.

    Asked by each `submit`, and redis-py imports OpenTelemetry wherever it is installed: an empty context is not
    written down.
    """
    if not in_use() or not _current():
        return ()
    import opentelemetry.propagate as propagate

    found: dict[str, str] = {}
    try:
        propagate.inject(found)
    except Exception:  # somebody's propagator: a trace is no reason for a call to fail
        logger.warning("The trace context could not be taken along", exc_info=True)
        return ()
    fits = sum(len(name) + len(value) for name, value in found.items()) <= MAX_CARRIED_BYTES
    return tuple(found.items()) if fits else ()


def _current() -> Mapping[str, object]:
    import opentelemetry.context as context

    return context.get_current()


@contextmanager
def spanning(name: str, attributes: Mapping[str, Any], context: Carried) -> Iterator[None]:
    """A span around what is enclosed, in the context that was carried here: its baggage is found there, too."""
    api = _api() if context else None
    if api is None:
        yield
        return
    contexts, propagate, trace = api
    token = contexts.attach(propagate.extract(dict(context)))
    try:
        with trace.get_tracer(NAME).start_as_current_span(name, attributes=dict(attributes)):
            yield
    finally:
        contexts.detach(token)


@contextmanager
def item_span(name: str, attributes: Mapping[str, Any]) -> Iterator[None]:
    """A span around an item, as a child of its chunk's. What the item raises is noted in it."""
    api = _api()
    if api is None:
        yield
        return
    _, _, trace = api
    with trace.get_tracer(NAME).start_as_current_span(name, attributes=dict(attributes)):
        yield


@cache
def _api() -> tuple[Any, Any, Any] | None:
    """None where it is not installed."""
    try:
        import opentelemetry.context as contexts
        import opentelemetry.propagate as propagate
        import opentelemetry.trace as trace
    except ImportError:
        return None
    return contexts, propagate, trace
