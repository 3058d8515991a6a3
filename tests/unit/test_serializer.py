"""The kombu serializer: nothing unsigned is read, and a signed call cannot be renamed."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from celery.signals import before_task_publish
from kombu import serialization
from kombu.exceptions import ContentDisallowed, DecodeError

from manycore.errors import MessageRefused
from manycore.protocol import codec, serializer
from manycore.protocol.codec import Keyring
from manycore.protocol.message import Chunk, ItemOptions, seal_chunk
from manycore.protocol.serializer import Delivery, check_vouched

RING = Keyring([b"a key of sixteen"])
MAX_BYTES = 10_000
CHUNK = Chunk("b.c", "b", "t", None, ItemOptions(), 0, 0, 2, None, b"")


@pytest.fixture(autouse=True)
def _installed() -> None:
    serializer.install(RING, max_message_bytes=MAX_BYTES)


def encoded(value: Any) -> bytes:
    content_type, encoding, body = serialization.dumps(value, serializer=serializer.NAME)
    assert (content_type, encoding) == (codec.CONTENT_TYPE, "binary")
    return bytes(body)


def decoded(body: bytes) -> Any:
    return serialization.loads(body, codec.CONTENT_TYPE, "binary", accept=[codec.CONTENT_TYPE])


@pytest.mark.parametrize("value", [None, ((1,), {"a": [2]}, {}), {"status": "SUCCESS", "result": {1, 2}}])
def test_a_call_or_result_comes_back(value: Any) -> None:
    assert decoded(encoded(value)) == value


def test_a_function_travels_by_value() -> None:
    assert decoded(encoded(lambda: 7))() == 7


def test_a_chunk_is_delivered_with_its_payload() -> None:
    assert decoded(seal_chunk(RING, CHUNK, b"payload")) == ((Delivery(CHUNK, b"payload"),), {}, {})


def test_the_body_may_be_a_view() -> None:
    assert serialization.loads(memoryview(encoded(1)), codec.CONTENT_TYPE, "binary") == 1


STRANGER = Keyring([b"another key of sixteen"])
REFUSED = {
    "a pickle": pickle.dumps(1),
    "a stranger's call": STRANGER.seal(codec.CALL, None, pickle.dumps(1)),
    "a stranger's chunk": seal_chunk(STRANGER, CHUNK, b""),
    "outcomes": RING.seal(codec.OUTCOMES, None, pickle.dumps(1)),
    "a large call": RING.seal(codec.CALL, None, b"x" * MAX_BYTES),
    "a large chunk": seal_chunk(RING, CHUNK, b"x" * MAX_BYTES),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        decoded(body)
    assert isinstance(refused.value.__context__, MessageRefused)


def test_kombu_refuses_other_content_types() -> None:
    with pytest.raises(ContentDisallowed):
        serialization.loads(b"1", "application/json", "utf-8", accept=[codec.CONTENT_TYPE])


def arrived(task: str, call_id: str) -> Any:
    """The request of a plain call that was published as `task[call_id]`, as a worker sees it."""
    body: Any = ((1,), {}, {"callbacks": None})
    before_task_publish.send(sender=task, body=body, headers={"task": task, "id": call_id})
    return SimpleNamespace(id=call_id, **decoded(encoded(body))[2])


def test_a_call_arrives_under_its_own_name_and_id() -> None:
    check_vouched(arrived("tasks.add", "id-1"), "tasks.add")


def test_a_swapped_task_name_is_refused() -> None:
    with pytest.raises(MessageRefused, match=r"is for the task and id \('tasks.add', 'id-1'\)"):
        check_vouched(arrived("tasks.add", "id-1"), "tasks.delete_all")


def test_a_swapped_id_is_refused() -> None:
    request = arrived("tasks.add", "id-1")
    request.id = "id-2"
    with pytest.raises(MessageRefused, match=r"headers say \('tasks.add', 'id-2'\)"):
        check_vouched(request, "tasks.add")


def test_a_call_that_vouches_for_nothing_is_refused() -> None:
    with pytest.raises(MessageRefused):
        check_vouched(SimpleNamespace(id="id-1"), "tasks.add")
