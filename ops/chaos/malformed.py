"""Malformed and hostile messages, each kind by a name: one list for the tests and for the driver that throws them.

It makes messages; it neither sends them nor knows what a worker should do about them.
"""

from __future__ import annotations

import base64
import bz2
import json
import pickle
import secrets
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from manycore.protocol import signing
from manycore.protocol.message import Chunk, ItemOptions, seal_chunk
from manycore.protocol.signing import CONTENT_TYPE, Keyring

MIB = 1024 * 1024
FORGERY = "x\n[2026-01-01 00:00:00,000: ERROR/MainProcess] forged\x1b[31m"


class Forge:
    """Makes messages: a good one that is not sent, and what can be done to it."""

    def __init__(self, key: str) -> None:
        self.ring = Keyring.parse(key)

    def message(self, body: bytes | None = None, **headers: Any) -> dict[str, Any]:
        """A call of `manycore.call`, signed unless `body` says otherwise; `headers` are changed after that."""
        task_id = headers.get("id", secrets.token_hex(8))
        options = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        call: Any = ((), {}, options | {"manycore": ("manycore.call", task_id)})
        return self.wrap(self.sealed(call) if body is None else body, **{"id": task_id} | headers)

    def call(self, value: Any, **headers: Any) -> dict[str, Any]:
        return self.wrap(self.sealed(value), **headers)

    def embedding(self, **options: Any) -> dict[str, Any]:
        """A signed call with these in place of Celery's own options."""
        return self.call(((), {}, {"manycore": ("manycore.call", "an-id")} | options), id="an-id")

    def sealed(self, value: Any) -> bytes:
        return self.ring.seal(signing.CALL, None, pickle.dumps(value))

    def wrap(self, body: bytes, **headers: Any) -> dict[str, Any]:
        return {
            "body": base64.b64encode(body).decode(),
            "content-type": CONTENT_TYPE,
            "content-encoding": "binary",
            "headers": {"lang": "py", "task": "manycore.call", "id": "an-id", "retries": 0} | headers,
            "properties": {
                "delivery_tag": secrets.token_hex(16),
                "delivery_info": {"exchange": "", "routing_key": "cpu"},
                "body_encoding": "base64",
                "delivery_mode": 2,
                "priority": 0,
            },
        }

    def chunk(self, batch: str, payload: bytes = b"", function: str | None = None) -> dict[str, Any]:
        """A genuine chunk of one item that nobody submitted."""
        name = f"{batch}.{secrets.token_hex(6)}"
        chunk = Chunk(name, batch, "manycore.call", function, ItemOptions(), 0, 0, 1, None, b"")
        return self.wrap(seal_chunk(self.ring, chunk, payload), id=name)


def changed(message: dict[str, Any], *path: str, to: Any = ...) -> dict[str, Any]:
    """The message with the value at `path` replaced, or left out."""
    message = deepcopy(message)
    place = message
    for name in path[:-1]:
        place = place[name]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return message


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def bomb() -> bytes:
    """1 GiB of zeros in less than 2 KiB: bz2 takes streams one after another."""
    return bz2.compress(bytes(64 * MIB), 9) * 16


Kind = Callable[[Forge], Any]
KINDS: dict[str, Kind] = {
    "bytes that are not text": lambda f: b"\xff\x00\xfe garbage",
    "text that is not JSON": lambda f: b"{not json",
    "an empty string": lambda f: b"",
    "deeply nested JSON": lambda f: b"[" * 200_000,
    "a scalar": lambda f: b"42",
    "null": lambda f: b"null",
    "a list": lambda f: b"[1, 2]",
    "an empty object": lambda f: b"{}",
    "an unknown kombu type": lambda f: changed(f.message(), "headers", "x", to={"__type__": "no", "__value__": 1}),
    "no body": lambda f: changed(f.message(), "body"),
    "a body of another type": lambda f: changed(f.message(), "body", to={"a": 1}),
    "bad base64": lambda f: changed(f.message(), "body", to="a"),
    "another body_encoding": lambda f: changed(f.message(), "properties", "body_encoding", to="rot13"),
    "no properties": lambda f: changed(f.message(), "properties"),
    "properties are a list": lambda f: changed(f.message(), "properties", to=[1]),
    "no delivery_tag": lambda f: changed(f.message(), "properties", "delivery_tag"),
    "delivery_tag is a dict": lambda f: changed(f.message(), "properties", "delivery_tag", to={"a": 1}),
    "delivery_tag with lone surrogates": lambda f: changed(f.message(), "properties", "delivery_tag", to="\ud800"),
    "no delivery_info": lambda f: changed(f.message(), "properties", "delivery_info"),
    "delivery_info is a number": lambda f: changed(f.message(), "properties", "delivery_info", to=7),
    "priority is infinite": lambda f: changed(f.message(), "properties", "priority", to=float("inf")),
    "correlation_id is a dict": lambda f: changed(f.message(), "properties", "correlation_id", to={}),
    "no headers": lambda f: changed(f.message(), "headers"),
    "headers are null": lambda f: changed(f.message(), "headers", to=None),
    "headers are a list": lambda f: changed(f.message(), "headers", to=["task"]),
    "no task": lambda f: changed(f.message(), "headers", "task"),
    "task is null": lambda f: f.message(task=None),
    "task is a list": lambda f: f.message(task=["manycore.call"]),
    "task is a dict": lambda f: f.message(task={}),
    "task is a number": lambda f: f.message(task=3),
    "no id": lambda f: changed(f.message(), "headers", "id"),
    "id is a list": lambda f: f.wrap(b"x", id=[1]),
    "an id that forges a line": lambda f: f.message(id=FORGERY),
    "a task that forges a line": lambda f: f.message(task=FORGERY),
    "unknown task": lambda f: f.call(((), {}, {"manycore": ("no.such", "i")}), task="no.such", id="i"),
    "unknown task, unsigned": lambda f: f.message(b"x", task="no.such"),
    "another's id": lambda f: changed(f.message(), "headers", "id", to="another"),
    "an unsigned object": lambda f: f.message(b'{"a":1}'),
    "unsigned JSON": lambda f: f.message(b"[[], {}, {}]"),
    "unsigned pickle": lambda f: f.message(pickle.dumps(((), {}, {}))),
    "a body signed with another key": lambda f: f.message(Keyring.parse("k" * 32).seal(signing.CALL, None, b"N.")),
    "content-type pickle": lambda f: changed(
        f.message(pickle.dumps(1)), "content-type", to="application/x-python-serialize"
    ),
    "content-type data": lambda f: changed(f.message(), "content-type", to="application/data"),
    "content-type text": lambda f: changed(f.message(), "content-type", to="text/plain"),
    "content-type is a list": lambda f: changed(f.message(), "content-type", to=[]),
    "content-encoding nonsense": lambda f: changed(f.message(), "content-encoding", to="klingon"),
    "a bz2 bomb": lambda f: f.message(bomb(), compression="application/x-bz2"),
    "gzip": lambda f: f.message(zlib.compress(f.sealed(1)), compression="application/x-gzip"),
    "an unknown compression": lambda f: f.message(compression="application/x-none"),
    "compression is a list": lambda f: f.message(compression=[1]),
    "a message that is too large": lambda f: f.message(f.sealed(bytes(3 * MIB))),
    "a body that is too large": lambda f: f.message(f.sealed(bytes(2 * MIB + 20_000))),
    "a truncated body": lambda f: f.message(f.sealed(((), {}, {}))[:-3]),
    "a body cut in its prefix": lambda f: f.message(f.sealed(((), {}, {}))[:20]),
    "a flipped bit in the body": lambda f: f.message(flipped(f.sealed(((), {}, {})), -2)),
    "a flipped bit in the digest": lambda f: f.message(flipped(f.sealed(((), {}, {})), 12)),
    "a signed call that is a number": lambda f: f.call(7),
    "a signed call that is an object": lambda f: f.call({"a": 1}),
    "a signed call of two": lambda f: f.call(((), {})),
    "a signed call of other types": lambda f: f.call(("args", [1], 3)),
    "a signed call that cannot be rebuilt": lambda f: f.message(f.ring.seal(signing.CALL, None, b"cno_module\nx\n.")),
    "a signed chunk that lacks all": lambda f: f.wrap(f.ring.seal(signing.CHUNK, {"id": 1}, b"")),
    "a signed chunk that is a list": lambda f: f.wrap(f.ring.seal(signing.CHUNK, [1], b"")),
    "callbacks are text": lambda f: f.embedding(callbacks="x"),
    "callbacks are numbers": lambda f: f.embedding(callbacks=[1]),
    "a chord is a list": lambda f: f.embedding(chord=[1]),
    "a chain is a dict": lambda f: f.embedding(chain={"a": 1}),
    "a group is a list": lambda f: f.message(group=[1]),
    "callbacks in the headers": lambda f: f.message(callbacks=[{"task": "manycore.call", "args": [1]}]),
    "args in the headers": lambda f: f.message(args=[1]),
    "timelimit of text": lambda f: f.message(timelimit=["a", "b"]),
    "timelimit is infinite": lambda f: f.message(timelimit=[float("inf"), None]),
    "timelimit of three": lambda f: f.message(timelimit=[1, 2, 3]),
    "eta nonsense": lambda f: f.message(eta="soon"),
    "eta is a list": lambda f: f.message(eta=[1]),
    "eta before time": lambda f: f.message(eta="0001-01-01T00:00:00"),
    "expires nonsense": lambda f: f.message(expires={"at": 1}),
    "expires too large": lambda f: f.message(expires=1e400),
    "retries is text": lambda f: f.message(retries="x"),
    "stamps of a wrong type": lambda f: f.message(stamped_headers=[[1]], stamps=3),
}
"""What is thrown at a queue."""
CONTROL: dict[str, Kind] = {
    "not JSON": lambda f: b"\xff",
    "a scalar": lambda f: b"3",
    "deeply nested": lambda f: b"[" * 200_000,
    "no properties": lambda f: b"{}",
    "a bomb": lambda f: f.message(bomb(), compression="application/x-bz2"),
    "a tag of a wrong type": lambda f: changed(f.message(b"[", task="x"), "properties", "delivery_tag", to={"a": 1}),
}
"""What is published to the workers' channel of remote control."""


def raw(kind: Any) -> bytes:
    """A message as it lies in a queue."""
    return kind if isinstance(kind, bytes) else json.dumps(kind).encode()
