"""The worker parent takes in nothing that is not signed, and says why."""

from __future__ import annotations

import json
import pickle

import pytest
from kombu.message import Message

from manycore.errors import MessageRefused
from manycore.protocol import serializer, signing
from manycore.protocol.calls import seal_call
from manycore.protocol.clock import ServerClock
from manycore.protocol.message import Chunk, ItemOptions, seal_chunk
from manycore.protocol.results import seal_result
from manycore.protocol.signing import CONTENT_TYPE, Keyring
from manycore.worker.parent.strategy import by_own_clock, check_signed, reason_of

RING = Keyring([b"a key of sixteen"])
CHUNK = Chunk("b.c", "b", "t", None, ItemOptions(), 0, 0, 2, None, b"")


@pytest.fixture(autouse=True)
def _installed() -> None:
    serializer.install(RING, max_message_bytes=10_000, max_result_bytes=10_000)


def message(body: bytes, content_type: str = CONTENT_TYPE, encoding: str = "binary") -> Message:
    return Message(body, content_type=content_type, content_encoding=encoding, accept={CONTENT_TYPE})


@pytest.mark.parametrize("body", [seal_chunk(RING, CHUNK, b""), seal_call(RING, ((), {}, {}))], ids=["chunk", "call"])
def test_what_is_signed_is_taken_in(body: bytes) -> None:
    check_signed(message(body))


UNSIGNED = {
    "nothing": message(b""),
    "no text": message(b"\xff"),
    "a stranger's chunk": message(seal_chunk(Keyring([b"another key of sixteen"]), CHUNK, b"")),
    "a result": message(seal_result(RING, {"status": "SUCCESS", "result": 1})),
    "a call whose options hold code": message(
        RING.seal(signing.CALL, ("t", "i", pickle.dumps({"chain": [print]})), b"")
    ),
    "json": message(json.dumps([[], {}, {}]).encode(), "application/json", "utf-8"),
    "pickle": message(b"N.", "application/x-python-serialize"),
    "data that kombu trusts": message(b"args", "application/data"),
    "text that kombu trusts": message(b"args", "application/text", "utf-8"),
}


@pytest.mark.parametrize("found", UNSIGNED.values(), ids=UNSIGNED.keys())
def test_nothing_else_is_taken_in(found: Message) -> None:
    with pytest.raises(Exception, match=r"refused|not one of|untrusted") as refused:
        check_signed(found)
    assert type(reason_of(refused.value)) is MessageRefused


def test_the_reason_is_the_decoders_own() -> None:
    with pytest.raises(Exception, match="refused") as refused:
        check_signed(UNSIGNED["a stranger's chunk"])
    assert str(reason_of(refused.value)).startswith("The message was refused: it is signed with key")


class Ahead(ServerClock):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def ahead_of_host(self) -> float:
        return self.seconds


def test_a_chunk_waits_by_the_servers_clock_and_a_plain_call_by_the_hosts() -> None:
    plain = seal_call(RING, ((), {}, {}))
    for body, waits in [(seal_chunk(RING, CHUNK, b""), "11:30"), (plain, "12:00")]:
        found = message(body)
        found.headers = {"eta": "2026-11-26T12:00:00+00:00"}
        by_own_clock(found, Ahead(1800))
        assert found.headers == {"eta": f"2026-11-26T{waits}:00+00:00"}


def test_what_has_no_time_to_wait_for_waits_for_none() -> None:
    found = message(seal_chunk(RING, CHUNK, b""))
    by_own_clock(found, Ahead(1800))
    assert "eta" not in found.headers


def test_another_reason_is_told_in_words() -> None:
    assert str(reason_of(KeyError("k"))) == "The message was refused: KeyError: 'k'"
