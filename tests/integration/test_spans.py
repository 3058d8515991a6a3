"""Spans of a batch, its chunks and its items, all of one trace, with OpenTelemetry's own SDK on both ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.conftest import ROOT

pytest.importorskip("opentelemetry.sdk", reason="pip install opentelemetry-sdk")
TASKS = """
import json, os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from manycore import task

class File(SpanExporter):
    def export(self, spans):
        with open(os.environ["SPANS"], "a") as file:
            for span in spans:
                parent = span.parent and f"{span.parent.span_id:x}"
                file.write(json.dumps({"name": span.name, "trace": f"{span.context.trace_id:x}", "parent": parent,
                    "id": f"{span.context.span_id:x}", "attributes": dict(span.attributes),
                    "failed": span.status.status_code.name == "ERROR"}) + "\\n")
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(File()))
trace.set_tracer_provider(provider)

@task
def halve(number):
    with trace.get_tracer("of the user").start_as_current_span("inner"):
        return 10 // number
"""
PROGRAM = """
from manycore import Cluster
from opentelemetry import trace
import traced_tasks

tracer = trace.get_tracer("of the user")
with Cluster(workers=2) as cluster:
    with tracer.start_as_current_span("program"):
        batch = cluster.batch(traced_tasks.halve, [1, 2, 0], retries=0)
        batch.wait()
    futures = []
    for name in ("first", "second"):
        with tracer.start_as_current_span(name):
            futures.append(cluster.submit(traced_tasks.halve, 5))
    print([future.result() for future in futures], batch.gather(return_exceptions=True)[:2])
"""


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("spans")
    (folder / "traced_tasks.py").write_text(TASKS)
    (folder / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"SPANS": str(folder / "spans"), "MANYCORE_TASKS": "traced_tasks", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=50
    )
    assert done.stdout == "[2, 2] [10, 5]\n", done.stderr
    return [json.loads(line) for line in (folder / "spans").read_text().splitlines()]


def named(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["name"] == name]


def test_a_batch_its_chunks_and_items_are_one_trace(spans: list[dict[str, Any]]) -> None:
    (program,) = named(spans, "program")
    (batch,) = named(spans, "batch traced_tasks.halve")
    assert batch["parent"] == program["id"]
    assert batch["attributes"] | {"manycore.items": 3, "manycore.failed": 1} == batch["attributes"]
    by_id = {span["id"]: span for span in spans}
    items = [span for span in named(spans, "item traced_tasks.halve") if span["trace"] == program["trace"]]
    assert sorted(span["attributes"]["manycore.index"] for span in items) == [0, 1, 2]
    assert [span["attributes"]["manycore.index"] for span in items if span["failed"]] == [2]
    for span in items:
        chunk = by_id[span["parent"]]
        assert (chunk["name"], chunk["parent"]) == ("chunk traced_tasks.halve", batch["id"])
    inner = [span for span in named(spans, "inner") if span["trace"] == program["trace"]]
    assert {by_id[span["parent"]]["name"] for span in inner} == {"item traced_tasks.halve"}


def test_a_call_belongs_to_the_span_that_it_was_made_in(spans: list[dict[str, Any]]) -> None:
    for name in ("first", "second"):
        (caller,) = named(spans, name)
        (chunk,) = [span for span in spans if span["parent"] == caller["id"]]
        assert chunk["name"] == "chunk traced_tasks.halve"
        assert [span["name"] for span in spans if span["parent"] == chunk["id"]] == ["item traced_tasks.halve"]


def test_each_trace_is_whole(spans: list[dict[str, Any]]) -> None:
    ids = {span["id"] for span in spans}
    assert [span["name"] for span in spans if span["parent"] not in ids] == ["program", "first", "second"]
