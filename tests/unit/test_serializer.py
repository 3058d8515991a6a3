"""The kombu serializer: nothing unsigned is read, and a signed call cannot be renamed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from celery import Celery, chord, group
from celery.signals import before_task_publish
from kombu import serialization
from kombu.exceptions import ContentDisallowed, DecodeError

from manycore.errors import MessageRefused
from manycore.protocol import serializer, signing
from manycore.protocol.message import Chunk, ItemOptions, seal_chunk
from manycore.protocol.results import head_of, seal_result
from manycore.protocol.serializer import Delivery
from manycore.protocol.signing import Keyring
from manycore.worker.parent.strategy import check_call

RING = Keyring([b"a key of sixteen"])
MAX_BYTES = 10_000
TYPES = {serializer.NAME: signing.CONTENT_TYPE, serializer.RESULT_NAME: signing.RESULT_TYPE}
CHUNK = Chunk("b.c", "b", "t", None, ItemOptions(), 0, 0, 2, None, b"")


@pytest.fixture(autouse=True)
def _installed() -> None:
    serializer.install(RING, max_message_bytes=MAX_BYTES, max_result_bytes=MAX_BYTES)


def encoded(value: Any, name: str = serializer.NAME) -> bytes:
    content_type, encoding, body = serialization.dumps(value, serializer=name)
    assert (content_type, encoding) == (TYPES[name], "binary")
    return bytes(body)


def decoded(body: bytes | memoryview, name: str = serializer.NAME) -> Any:
    return serialization.loads(body, TYPES[name], "binary", accept=[TYPES[name]])


def arrived(args: Any = (), kwargs: Any = None, options: Any = None, *, task: str = "t", call_id: str = "i") -> Any:
    """A plain call that was published as `task[call_id]`, and its options: as a worker decodes it."""
    body: Any = (args, kwargs or {}, options or {})
    before_task_publish.send(sender=task, body=body, headers={"task": task, "id": call_id})
    (call,), _, found = decoded(encoded(body))
    return call, found


def test_a_call_comes_back() -> None:
    assert arrived((1,), {"a": [2]})[0].rebuilt() == ((1,), {"a": [2]})


def test_a_function_travels_by_value() -> None:
    (function,), _ = arrived((lambda: 7,))[0].rebuilt()
    assert function() == 7


@pytest.mark.parametrize("value", [None, {"status": "SUCCESS", "result": {1, 2}}, [1, "id", "SUCCESS", 7]])
def test_a_result_comes_back(value: Any) -> None:
    assert decoded(encoded(value, serializer.RESULT_NAME), serializer.RESULT_NAME) == value


def test_a_chunk_is_delivered_with_its_payload() -> None:
    assert decoded(seal_chunk(RING, CHUNK, b"payload")) == ([Delivery(CHUNK, b"payload")], {}, {})


def test_the_body_may_be_a_view() -> None:
    assert decoded(memoryview(encoded(((1,), {}, {}))))[0][0].rebuilt() == ((1,), {})


built: list[object] = []


class Noticed:
    """Is noticed whenever it is rebuilt."""

    def __reduce__(self) -> Any:
        return _notice, ()


def _notice() -> Noticed:
    built.append(found := Noticed())
    return found


def test_nothing_of_the_callers_is_rebuilt_by_decoding() -> None:
    app = Celery(set_as_current=False)
    after = app.signature("then", (Noticed(), [Noticed()]))
    steps = chord(group([after], app=app), after, app=app)
    built.clear()
    call, options = arrived((Noticed(),), {"k": Noticed()}, {"callbacks": [after, steps], "chain": None})
    again = copy.deepcopy(options)  # as Celery does
    assert built == []
    assert again["callbacks"][0]["task"] == "then"
    assert call.rebuilt_options()["callbacks"][0]["args"][1] == built[1:2]


def test_what_was_not_rebuilt_is_sent_on_as_the_object_it_is() -> None:
    app = Celery(set_as_current=False)
    _, options = arrived(options={"errbacks": [app.signature("then", ([Noticed()],))]})
    built.clear()
    on, _ = arrived(options["errbacks"][0]["args"])
    assert built == []
    assert on.rebuilt() == ((built,), {})


def test_a_results_head_is_read_without_it() -> None:
    built.clear()
    sealed = encoded({"task_id": "i", "status": "SUCCESS", "result": Noticed()}, serializer.RESULT_NAME)
    head = head_of(RING, sealed)
    assert (head["task_id"], head["status"], built) == ("i", "SUCCESS", [])


STRANGER = Keyring([b"another key of sixteen"])
REFUSED = {
    "a pickle": pickle.dumps(1),
    "a stranger's call": STRANGER.seal(signing.CALL, None, pickle.dumps(1)),
    "a stranger's chunk": seal_chunk(STRANGER, CHUNK, b""),
    "outcomes": RING.seal(signing.OUTCOMES, None, pickle.dumps(1)),
    "a result": seal_result(RING, {"status": "SUCCESS"}),
    "a call of another form": RING.seal(signing.CALL, None, pickle.dumps(1)),
    "a large call": RING.seal(signing.CALL, None, b"x" * MAX_BYTES),
    "a large chunk": seal_chunk(RING, CHUNK, b"x" * MAX_BYTES),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        decoded(body)
    assert isinstance(refused.value.__context__, MessageRefused)


def test_kombu_refuses_other_content_types() -> None:
    with pytest.raises(ContentDisallowed):
        serialization.loads(b"1", "application/json", "utf-8", accept=[signing.CONTENT_TYPE])


@pytest.mark.parametrize(("task", "call_id"), [("tasks.delete_all", "id-1"), ("tasks.add", "id-2")])
def test_a_call_under_another_name_or_id_is_refused(task: str, call_id: str) -> None:
    call, options = arrived((1,), task="tasks.add", call_id="id-1")
    check_call(([call], {}, options), "tasks.add", "id-1")
    with pytest.raises(MessageRefused, match=r"signed as tasks.add\[id-1\] and came as"):
        check_call(([call], {}, options), task, call_id)


def test_a_call_that_vouches_for_nothing_is_refused() -> None:
    with pytest.raises(MessageRefused):
        check_call(decoded(encoded(((1,), {}, {}))), "tasks.add", "id-1")
