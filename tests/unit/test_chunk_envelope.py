"""Our own envelope is the one that Celery and kombu make: held here, so that a new version of either is noticed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kombu import Connection, Producer

from manycore.protocol import envelope
from manycore.protocol.app import create_app
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.settings import load_settings
from manycore.protocol.signing import CONTENT_TYPE
from manycore.worker.parent.envelope import read_envelope

CHUNK = Chunk("b.1", "b", "manycore.call", "d" * 32, ItemOptions(), 40, 2, 12, None, b"", total=100)
TAG = "delivery_tag"


def celerys(chunk: Chunk, sealed: bytes, *, queue: str, shadow: str | None, when: float) -> dict[str, Any]:
    """What Celery and kombu's Redis transport put into the list of a queue."""
    app = create_app(load_settings(url="redis://127.0.0.1:1"))
    message = app.amqp.as_task_v2(
        chunk.id,
        chunk.task,
        argsrepr=chunk.describe(),
        kwargsrepr="",
        shadow=shadow,
        eta=datetime.fromtimestamp(when, UTC) if when else None,
        retries=chunk.attempt - 1,
        ignore_result=True,
    )
    put: list[tuple[str, dict[str, Any]]] = []
    with Connection("memory://") as connection:  # its channel is of the same base as that of Redis
        channel = connection.channel()
        channel._put = lambda where, made, **_: put.append((where, made))
        Producer(channel).publish(
            sealed,
            exchange="",
            routing_key=queue,
            content_type=CONTENT_TYPE,
            content_encoding="binary",
            headers=message.headers,
            **message.properties,
        )
    ((where, made),) = put
    assert where == queue
    return made


@pytest.mark.parametrize("when", [0.0, 1_795_683_651.25])
@pytest.mark.parametrize("chunk", [CHUNK, replace(CHUNK, attempt=3)])
def test_each_field_is_as_celery_and_kombu_write_it(chunk: Chunk, when: float) -> None:
    sealed = bytes(range(256))
    theirs = celerys(chunk, sealed, queue="gpu", shadow="jobs.f", when=when)
    ours = json.loads(envelope.around(chunk, sealed, queue="gpu", shadow="jobs.f", not_before=when))
    assert isinstance(ours["headers"].pop(envelope.SENT), float)
    assert theirs["properties"].pop(TAG) != ours["properties"].pop(TAG)
    assert ours == json.loads(json.dumps(theirs))


def test_no_two_have_one_tag_and_a_worker_takes_each() -> None:
    raw = [envelope.around(CHUNK, b"x", queue="cpu", shadow=None) for _ in range(100)]
    read = [read_envelope(each.encode(), "cpu", max_message_bytes=1_000) for each in raw]
    assert len({each["properties"][TAG] for each in read}) == len(raw)


def test_a_forked_process_is_another_origin() -> None:
    mine = json.loads(envelope.around(CHUNK, b"x", queue="cpu", shadow=None))["headers"]["origin"]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, envelope.around(CHUNK, b"x", queue="cpu", shadow=None).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(reading, 65_536))["headers"]["origin"] == mine.replace(str(os.getpid()), str(child))
