"""The span of a batch: from its call until its lane is over, in the caller's process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from manycore.client.passage import Arrival, Sink
from manycore.protocol import tracing
from manycore.protocol.tracing import Carried


class BatchSpan:
    """A sink that hands everything on, and ends the span with the batch. Only where OpenTelemetry is in use."""

    def __init__(self, sink: Sink, span: Any, trace: Any) -> None:
        self._sink = sink
        self._trace = trace
        self._span = span
        with trace.use_span(span):
            self.carried: Carried = tracing.carried()
        self._items = self._failed = 0

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            self._items += len(arrival.values)
            self._failed += len(arrival.errors)
        self._sink.deliver(arrivals)

    def finish(self) -> None:
        self._end(f"{self._failed} items failed" if self._failed else None)
        self._sink.finish()

    def fail(self, error: BaseException) -> None:
        self._end(f"{type(error).__name__}: {error}")
        self._sink.fail(error)

    def _end(self, failure: str | None) -> None:
        with suppress(Exception):  # somebody's exporter: a batch does not depend on it
            self._close(failure)

    def _close(self, failure: str | None) -> None:
        self._span.set_attributes({"manycore.items": self._items, "manycore.failed": self._failed})
        if failure is not None:
            self._span.set_status(self._trace.StatusCode.ERROR, failure)
        self._span.end()


def watched(sink: Sink, name: str, batch: str) -> tuple[Sink, Carried]:
    """The sink of a batch, and the trace context of its items: those of a new span where there can be one."""
    if not tracing.in_use():
        return sink, ()
    from opentelemetry import trace

    attributes = {"manycore.batch": batch, "code.function.name": name}
    span = trace.get_tracer(tracing.NAME).start_span(f"batch {name}", attributes=attributes)
    if not (span.is_recording() or span.get_span_context().is_valid):
        return sink, tracing.carried()  # nobody makes spans: redis-py imports OpenTelemetry wherever it is installed
    watching = BatchSpan(sink, span, trace)
    return watching, watching.carried
