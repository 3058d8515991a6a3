"""The kombu serializer `manycore`: signs every task message and result, and refuses whatever is not signed.

Plain Celery calls (`task.delay()`, `app.send_task()`) go through it, on both ends. A message vouches for its task name
and id, so that neither can be swapped. Chunks are sealed by `message`; here they are only opened.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from celery.signals import before_task_publish
from kombu import serialization

from manycore.errors import MessageRefused
from manycore.protocol import codec
from manycore.protocol.codec import Keyring
from manycore.protocol.message import Chunk, open_chunk
from manycore.protocol.packing import dumps

NAME = "manycore"
_VOUCHED = "manycore"
"""The entry of a message's embedded options that repeats its task name and id under the signature."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chunk as it arrived, with its inline payload (empty if that travels beside the message)."""

    chunk: Chunk
    payload: bytes


def install(keyring: Keyring, *, max_message_bytes: int) -> None:
    """Register the serializer for this process. One keyring a process: kombu knows serializers by name."""

    def encode(value: Any) -> bytes:
        return keyring.seal(codec.CALL, None, dumps(value, "A task's arguments or result"))

    def decode(message: Any) -> Any:
        data = bytes(message)
        if codec.is_sealed(codec.CHUNK, data):
            chunk, payload = open_chunk(keyring, data, max_bytes=max_message_bytes)
            return (Delivery(chunk, bytes(payload)),), {}, {}
        return pickle.loads(keyring.open(codec.CALL, data, max_bytes=max_message_bytes).body)

    serialization.register(NAME, encode, decode, content_type=codec.CONTENT_TYPE, content_encoding="binary")
    before_task_publish.connect(_vouch, weak=False, dispatch_uid="manycore.vouch")


def _vouch(body: Any = None, headers: Any = None, **_: Any) -> None:
    """Put the task's name and id where the signature covers them; the headers themselves are not signed."""
    if isinstance(body, tuple) and isinstance(body[2], dict) and headers:
        body[2][_VOUCHED] = (headers["task"], headers["id"])


def vouched(embedded: dict[str, Any]) -> tuple[Any, Any]:
    """The task name and id that a plain call's signature covers; (None, None) without them."""
    found = embedded.get(_VOUCHED)
    return (found[0], found[1]) if isinstance(found, list | tuple) and len(found) == 2 else (None, None)


def check_vouched(request: Any, task: str) -> None:
    """Raise `MessageRefused` unless the signed name and id of a plain call are those of its headers."""
    vouched = getattr(request, _VOUCHED, None)
    if tuple(vouched or ()) != (task, request.id):
        raise MessageRefused(f"its signature is for the task and id {vouched}, its headers say {(task, request.id)}")
