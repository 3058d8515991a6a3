"""The kombu serializers `manycore` and `manycore-result`: they sign all that they write, and refuse what is unsigned.

Plain Celery calls (`task.delay()`, `app.send_task()`) go through them, on both ends. A message vouches for its task
name and id, so that neither can be swapped. Chunks are sealed by `message`; here they are only opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery.signals import before_task_publish
from kombu import serialization

from manycore.protocol import signing
from manycore.protocol.calls import VOUCHED, open_call, seal_call
from manycore.protocol.message import Chunk, open_chunk
from manycore.protocol.pickling import check_size
from manycore.protocol.results import open_result, seal_result
from manycore.protocol.signing import Keyring

NAME, RESULT_NAME = "manycore", "manycore-result"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chunk as it arrived, with its inline payload (empty if that travels beside the message)."""

    chunk: Chunk
    payload: bytes


def install(keyring: Keyring, *, max_message_bytes: int, max_result_bytes: int) -> None:
    """Register the serializers for this process. One keyring a process: kombu knows serializers by name.

    What a message is decoded to has the form of a Celery message's body, its one argument a `Delivery` or `PlainCall`.
    """

    def encode(body: Any) -> bytes:
        sealed = seal_call(keyring, body)
        check_size(len(sealed), max_message_bytes, "The message of the call")
        return sealed

    def decode(message: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
        data = bytes(message)
        if signing.is_sealed(signing.CHUNK, data):
            chunk, payload = open_chunk(keyring, data, max_bytes=max_message_bytes)
            return [Delivery(chunk, bytes(payload))], {}, {}
        call, options = open_call(keyring, data, max_bytes=max_message_bytes)
        return [call], {}, options

    def encode_result(meta: Any) -> bytes:
        sealed = seal_result(keyring, meta)
        check_size(len(sealed), max_result_bytes, "The result of the call")
        return sealed

    def decode_result(message: Any) -> Any:
        return open_result(keyring, bytes(message), max_bytes=max_result_bytes)

    serialization.register(NAME, encode, decode, content_type=signing.CONTENT_TYPE, content_encoding="binary")
    serialization.register(
        RESULT_NAME, encode_result, decode_result, content_type=signing.RESULT_TYPE, content_encoding="binary"
    )
    before_task_publish.connect(_vouch, weak=False, dispatch_uid="manycore.vouch")


def _vouch(body: Any = None, headers: Any = None, **_: Any) -> None:
    """Put the task's name and id where the signature covers them; the headers themselves are not signed."""
    if isinstance(body, tuple) and isinstance(body[2], dict) and headers:
        body[2][VOUCHED] = (headers["task"], headers["id"])
