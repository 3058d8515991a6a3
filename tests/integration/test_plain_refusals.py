"""A plain Celery call that no worker accepts ends with the reason at its caller, who would wait for ever otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import NotRegistered
from kombu.exceptions import EncodeError

from manycore.errors import MessageRefused
from manycore.plain import celery_app
from manycore.protocol.signing import generate_key
from tests.integration.conftest import Server

ECHO = "tests.functions.echo"
MIB = 1024 * 1024


def test_what_is_refused_is_answered(
    server: Server, start_worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(tasks="tests.functions")
    monkeypatch.setenv("MANYCORE_URL", server.url)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    app = celery_app()

    def called(*args: Any, task: str = ECHO, **options: Any) -> Any:
        sent = app.send_task(task, args, **options)
        try:
            return sent.get(timeout=30)
        finally:
            app.backend.remove_pending_result(sent)  # else it looks for its server when it ends

    with pytest.raises(NotRegistered):
        called(1, task="tests.functions.unheard_of")
    with pytest.raises(MessageRefused, match="content-type"):
        called(1, serializer="json")
    with pytest.raises(MessageRefused, match="compression"):
        called(1, compression="gzip")
    with pytest.raises(EncodeError, match="MANYCORE_MAX_MESSAGE_BYTES"):
        called(bytes(3 * MIB))
    first = app.send_task(ECHO, (1,), task_id="twice")
    assert first.get(timeout=30) == 1
    app.send_task(ECHO, (1,), task_id="twice", compression="gzip")
    assert called(2) == 2
    assert celery_app().AsyncResult("twice").get(timeout=30) == 1, "a refusal takes back no success"
    monkeypatch.setenv("MANYCORE_KEY", generate_key())
    app = celery_app()
    with pytest.raises(MessageRefused, match="signed with key"):
        called(1)
