"""The trace context travels in the signed message, and only where OpenTelemetry is in use."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from manycore.protocol import signing, tracing
from manycore.protocol.message import open_chunk, seal_chunk
from manycore.protocol.signing import Keyring
from tests.runs import chunk_of

RING = Keyring([b"a-key-of-16-bytes-or-more"])


def test_without_it_nothing_is_carried_and_nothing_imported() -> None:
    assert tracing.in_use() == ("opentelemetry.trace" in sys.modules)
    if not tracing.in_use():
        assert tracing.carried() == ()
        assert "opentelemetry" not in sys.modules


def test_a_context_travels_with_its_chunk() -> None:
    chunk = chunk_of(0, 1)
    traced = replace(chunk, options=replace(chunk.options, trace=(("traceparent", "00-1"),)))
    assert open_chunk(RING, seal_chunk(RING, traced, b""))[0] == traced


def test_a_chunk_of_a_version_without_it_is_read() -> None:
    head, _ = RING.open(signing.CHUNK, seal_chunk(RING, chunk_of(0, 1), b""))
    del head["trace"]
    assert open_chunk(RING, RING.seal(signing.CHUNK, head))[0] == chunk_of(0, 1)


@pytest.fixture
def broken_propagator(monkeypatch: pytest.MonkeyPatch) -> None:
    propagate = pytest.importorskip("opentelemetry.propagate")
    pytest.importorskip("opentelemetry.trace")

    def broken(_: object) -> None:
        raise LookupError

    monkeypatch.setattr(propagate, "inject", broken)


def test_a_propagator_that_fails_fails_no_call(broken_propagator: None, caplog: pytest.LogCaptureFixture) -> None:
    from opentelemetry import context

    token = context.attach(context.set_value("whose", "mine"))
    try:
        assert tracing.carried() == ()
    finally:
        context.detach(token)
    assert "could not be taken along" in caplog.text


def test_without_a_context_no_propagator_is_asked(broken_propagator: None, caplog: pytest.LogCaptureFixture) -> None:
    """It would cost each call more than all else that `submit` does."""
    assert tracing.carried() == ()
    assert not caplog.text


def test_what_runs_finds_the_baggage_of_its_caller_and_nobody_does_after_it() -> None:
    pytest.importorskip("opentelemetry.trace")
    from opentelemetry import baggage, context

    token = context.attach(baggage.set_baggage("customer", "Ann"))
    carried = tracing.carried()
    context.detach(token)
    with tracing.spanning("chunk", {}, carried), tracing.item_span("item", {}):
        assert baggage.get_baggage("customer") == "Ann"
        assert tracing.carried() == carried, "what it submits in its turn has it, too"
    assert baggage.get_baggage("customer") is None
