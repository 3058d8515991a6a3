"""Tells the sender of a message that was refused; so its batch ends with an error instead of waiting for ever.

Where the message is genuine, the refusal is a signed outcome for each of its items. Where its signature does not hold,
nothing in it can be believed: then a short unsigned record goes to the stream of the batch that it claims. Such a
record can end a batch, never give it a result; a plain call likewise fails, unless it has succeeded. Either way it is
counted and kept in the quarantine.
"""

from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from contextlib import suppress
from typing import Any

from celery.states import FAILURE
from redis import RedisError

from manycore.errors import ManycoreError, MessageRefused
from manycore.protocol import keys
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.message import Chunk, open_chunk
from manycore.quarantine.refused import RefusedMessages
from manycore.worker.context import WorkerContext
from manycore.worker.parent.envelope import MAX_TEXT
from manycore.worker.writer import OutcomeWriter

logger = logging.getLogger(__name__)
_CLAIMED_ID = re.compile(r"([A-Za-z0-9_:-]{1,120})\.[0-9a-f]{12}")


def refuse_chunk(context: WorkerContext, chunk: Chunk, error: ManycoreError) -> None:
    """Make `error` the outcome of every item of a genuine chunk."""
    OutcomeWriter(context).fail(chunk, error)


def refuse_message(context: WorkerContext, message: Any, error: ManycoreError) -> None:
    """Refuse a message that kombu has made one of."""
    queue = (message.delivery_info or {}).get("routing_key")
    body = bytes(message.body or b"") if not isinstance(message.body, str) else message.body.encode()
    _refuse(context, str(queue), body, message.headers.get("id"), body, error)


def refuse_raw(context: WorkerContext, queue: str, raw: bytes, error: ManycoreError) -> None:
    """Refuse what was found in `queue` and is no message, as far as can be told."""
    claimed_id, body = _claims(raw, context.settings.max_message_bytes)
    _refuse(context, queue, raw, claimed_id, body, error)


def _refuse(context: WorkerContext, queue: str, raw: bytes, claimed_id: Any, body: bytes, error: ManycoreError) -> None:
    claimed_id = claimed_id if isinstance(claimed_id, str) else ""
    logger.error("Refused a message of %d bytes in %r, id %.100r: %.500r", len(raw), queue, claimed_id, str(error))
    try:
        RefusedMessages(context.redis).add(queue, str(error), raw, claimed_id)
    except RedisError:
        logger.exception("The refused message could not be kept")
    try:
        _tell(context, claimed_id, body, error)
    except Exception:  # a boundary: what is refused may be anything, and the worker goes on
        logger.exception("The sender of the refused message could not be told")


def _tell(context: WorkerContext, claimed_id: str, body: bytes, error: ManycoreError) -> None:
    try:
        chunk, _ = open_chunk(context.keyring, body, max_bytes=context.settings.max_message_bytes)
    except MessageRefused:
        _record(context, claimed_id, error)
    else:
        refuse_chunk(context, chunk, error)


def _claims(raw: bytes, max_message_bytes: int) -> tuple[Any, bytes]:
    """The id and the body that a broken message has nevertheless; empty for one that is too large to look at."""
    if len(raw) > 2 * max_message_bytes:
        return "", b""
    claimed_id, body = "", b""
    with suppress(*UNREADABLE):
        found = json.loads(raw)
        with suppress(*UNREADABLE):
            claimed_id = found["headers"]["id"]
        body = b64decode(found["body"])
    return claimed_id, body


def _record(context: WorkerContext, claimed_id: str, error: ManycoreError) -> None:
    match = _CLAIMED_ID.fullmatch(claimed_id)
    if match is None:
        if 0 < len(claimed_id) <= MAX_TEXT and claimed_id.isprintable():
            context.app.backend.store_result(claimed_id, error, FAILURE)  # a plain call's; it takes back no success
        return
    stream = keys.outcomes(match[1])
    record = json.dumps({"chunk": claimed_id, "reason": str(error), "keys": context.keyring.ids})
    lives: Any = context.redis.ttl(stream)
    pipe = context.redis.pipeline(transaction=True)  # at once: who dies in between would leave it without an end
    pipe.xadd(stream, {b"r": record})
    pipe.expire(stream, max(lives, keys.EPHEMERAL_TTL_SECONDS))  # never shorten a batch's own
    pipe.execute()
