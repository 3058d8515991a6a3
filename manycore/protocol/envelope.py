"""The Celery message around a sealed chunk, as Celery and kombu would write it; neither is needed for it.

To make one by theirs costs ten times as much as all else that a client does for a call, and nearly all of it is the
same each time. A test holds every field against theirs. How one is read: `worker.parent.envelope`.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from base64 import b64encode
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import Any

from manycore.protocol.message import Chunk
from manycore.protocol.signing import CONTENT_TYPE

SENT = "sent"
"""The header that says when a message was sent, by the clock of its sender (epoch seconds): Flower shows how old the
oldest of a queue is, and nothing else comes of it."""
_SAME: dict[str, Any] = {
    "lang": "py",
    "expires": None,
    "group": None,
    "group_index": None,
    "timelimit": [None, None],
    "parent_id": None,
    "kwargsrepr": "",
    "ignore_result": True,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
"""The headers of Celery's protocol 2 that are the same for every chunk."""


def around(chunk: Chunk, sealed: bytes, *, queue: str, shadow: str | None, not_before: float = 0.0) -> str:
    """The message, in JSON, as it lies in the list of `queue`; `not_before` is when it may run, if not at once."""
    own = _encode(chunk.id)
    gaps = (
        f'"{b64encode(sealed).decode()}"',
        own,
        _encode(datetime.fromtimestamp(not_before, UTC).isoformat()) if not_before else "null",
        str(chunk.attempt - 1),
        own,
        _encode(chunk.describe()),
        str(round(time(), 3)),
        own,
        f'"{secrets.token_hex(16)}"',
    )
    parts = _parts(chunk.task, shadow, queue, os.getpid())
    return "".join([text for pair in zip(parts, (*gaps, ""), strict=True) for text in pair])


@lru_cache(maxsize=64)
def _parts(task: str, shadow: str | None, queue: str, pid: int) -> list[str]:
    """What stands between that which is another in each message. A child that was forked is another origin."""
    gap = secrets.token_hex(16)
    headers = _SAME | {
        "task": task,
        "id": gap,
        "shadow": shadow,
        "eta": gap,
        "retries": gap,
        "root_id": gap,
        "argsrepr": gap,
        "origin": f"gen{pid}@{socket.gethostname()}",
        SENT: gap,
    }
    properties = {
        "correlation_id": gap,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": gap,
    }
    message = {
        "body": gap,
        "content-encoding": "binary",
        "content-type": CONTENT_TYPE,
        "headers": headers,
        "properties": properties,
    }
    return _encode(message).split(f'"{gap}"')


_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
