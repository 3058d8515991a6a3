"""`read_envelope` lets through what clients send, and answers anything else with `MessageRefused`, never otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection, Producer

from manycore.errors import MessageRefused
from manycore.protocol.signing import CONTENT_TYPE
from manycore.worker.parent.envelope import MAX_HEADER_BYTES, MAX_SHOWN, read_envelope

LIMIT = 10_000


def message() -> dict[str, Any]:
    return {
        "body": "AAAA",
        "content-type": CONTENT_TYPE,
        "content-encoding": "binary",
        "headers": {"task": "t", "id": "i", "timelimit": [1, 0.5], "eta": "2026-01-01T00:00:00+00:00", "retries": 0},
        "properties": {
            "delivery_tag": "5c5f0b4e-5b1c-4c9c-a2d5-93fd0c32f0a8",
            "delivery_info": {"exchange": "e", "routing_key": "elsewhere"},
            "body_encoding": "base64",
        },
    }


def read(found: Any) -> dict[str, Any]:
    return read_envelope(json.dumps(found).encode(), "cpu", max_message_bytes=LIMIT)


def test_a_message_passes_and_goes_back_to_where_it_was_found() -> None:
    assert read(message())["properties"]["delivery_info"] == {"exchange": "", "routing_key": "cpu"}


def test_a_redelivery_is_known_as_one() -> None:
    found = message()
    found["properties"]["delivery_info"]["redelivered"] = True
    assert read(found)["properties"]["delivery_info"]["redelivered"] is True


def test_what_celery_makes_passes() -> None:
    headers: dict[str, Any] = dict(
        Celery(set_as_current=False)
        .amqp.as_task_v2(
            "id", "t", (1,), countdown=3, expires=4, time_limit=5, group_id="g", group_index=1,
            stamped_headers=["s"], s=["a"], s2=1,
        )
        .headers
    )  # fmt: skip
    assert read(message() | {"headers": headers | {"traceparent": "00-ab"}})["headers"]["traceparent"] == "00-ab"


def test_what_is_only_shown_is_escaped_and_cut() -> None:
    found = message()
    found["headers"] |= {"argsrepr": "a\nb\x1b[31m", "origin": "x" * 5000, "shadow": "f.<locals>.<lambda>"}
    headers = read(found)["headers"]
    assert headers["argsrepr"] == r"a\nb\x1b[31m"
    assert len(headers["origin"]) == MAX_SHOWN
    assert headers["shadow"] == "f.<locals>.<lambda>"


def test_what_is_too_large_is_not_parsed() -> None:
    with pytest.raises(MessageRefused, match="the limit is"):
        read_envelope(b"[" * (LIMIT * 4 // 3 + MAX_HEADER_BYTES + 1), "cpu", max_message_bytes=LIMIT)


@pytest.mark.parametrize(
    "name", ["callbacks", "errbacks", "chain", "chord", "args", "kwargs", "_children", "update", "compression"]
)
def test_no_header_changes_what_celery_does(name: str) -> None:
    found = message()
    found["headers"][name] = "x"
    with pytest.raises(MessageRefused, match=name):
        read(found)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = [(name,) for name in message()] + [
    (part, name) for part in ("headers", "properties") for name in (*message()[part], "group", "expires", "stamps", "x")
]


@given(st.sampled_from(PLACES), anything)
def test_any_value_anywhere_passes_or_is_refused(place: tuple[str, ...], value: Any) -> None:
    found = message()
    target = found if len(place) == 1 else found[place[0]]
    target[place[-1]] = value
    try:
        envelope = read(found)
    except MessageRefused as exc:
        told = str(exc)
    else:
        told = envelope["headers"]["id"]
    assert told.isprintable()


@given(st.binary(max_size=64))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(MessageRefused):
        read_envelope(raw, "cpu", max_message_bytes=LIMIT)


def test_what_kombu_sends_passes() -> None:
    channel = Connection("memory://").channel()
    Producer(channel).publish(b"x", routing_key="q", headers={"task": "t", "id": "i"}, content_type=CONTENT_TYPE,
                              content_encoding="binary", priority=3, correlation_id="i", reply_to="")  # fmt: skip
    sent = channel._get("q")
    assert read(sent)["properties"]["priority"] == 3
