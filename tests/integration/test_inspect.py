"""Celery's own `inspect` answers: what a worker is set to and what it runs, and never a password or a key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Backoff, Cluster
from manycore.plain import celery_app
from tests.functions import fail_and_hold
from tests.integration.conftest import Server
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
QUESTIONS = [
    "active",
    "active_queues",
    "clock",
    "conf",
    "memsample",
    "ping",
    "query_task",
    "registered",
    "report",
    "reserved",
    "revoked",
    "scheduled",
    "stats",
]


def test_every_question_is_answered(
    server: Server,
    start_worker: StartWorker,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """While a chunk runs, one waits in the worker for its delay, and one is refused."""
    start_worker(slots=2, tasks="tests.functions")
    monkeypatch.setenv("MANYCORE_URL", server.url)
    busy = tmp_path / "busy"
    busy.touch()
    wait = Backoff(60.0, jitter=False)
    batch = connect().batch(fail_and_hold, range(2), kwargs={"flag": str(busy)}, retries=1, backoff=wait)
    inspect = celery_app().control.inspect(timeout=10, limit=1)
    wait_until(lambda: _only(inspect.scheduled()), "the failed item waits for its retry")
    wait_until(lambda: _only(inspect.active()), "the other one runs")
    replies = {question: _only(getattr(inspect, question)()) for question in QUESTIONS}
    busy.unlink()
    batch.cancel()
    assert not [question for question, reply in replies.items() if "error" in reply]
    assert replies["stats"]["pool"]["max-concurrency"] == 2
    assert "tests.functions.long_task" in replies["registered"]
    assert replies["active"][0]["name"] == replies["scheduled"][0]["request"]["name"]
    assert [secret for secret in (server.password, server.key) if secret in json.dumps(replies)] == []


@pytest.mark.slow
def test_the_shell_asks_too(server: Server, start_worker: StartWorker) -> None:
    start_worker()
    command = [sys.executable, "-m", "celery", "--broker", server.url, "inspect", "--json", "--timeout", "10", "stats"]
    answer = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert next(iter(json.loads(answer.stdout).values()))["prefetch_count"] == 1


def _only(replies: Any) -> Any:
    """What the one worker answered."""
    return next(iter((replies or {}).values()), None)
