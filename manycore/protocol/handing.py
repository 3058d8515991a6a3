"""Hands a call straight to the slot that has just ended one of the same function, and waits a moment for the next.

Calls that follow one another need no parent in between, and the slot has nothing to ask: half of a call's time. Each is
an ordinary message all the same, and at each moment some delivery's. The worker's end: `worker/child/staying`.
"""

from __future__ import annotations

import json

from redis.exceptions import NoScriptError

from manycore.protocol import keys
from manycore.protocol.broker import UNACKED
from manycore.protocol.message import Chunk
from manycore.protocol.resume import STEPS, Resume, new_run
from manycore.protocol.script import Script
from manycore.protocol.wire import Wire

HAND = Script(__package__, "hand")
NOTHING = b""
"""What a slot is handed that is not to stay any longer."""


def program_of(chunk: Chunk, queue: str) -> str:
    """What the calls have in common of which one slot can run the next: whatever is told of one holds for it."""
    return f"{queue}:{chunk.task}:{chunk.function or ''}"


def can_be_handed(chunk: Chunk) -> bool:
    """Whether this message is a single call that was never sent before, and has all with it."""
    return chunk.is_of_calls and len(chunk) == 1 and chunk.payload_token is None and not chunk.suspect


def hand(wire: Wire, chunk: Chunk, message: str, queue: str, ttl_seconds: int) -> None:
    """Do it, or put the call into its queue. Raises redis-py's errors."""
    run, batch = new_run(chunk), chunk.batch
    names = [
        keys.stay(batch, program_of(chunk, queue)),
        UNACKED,
        keys.resume(batch),
        keys.strikes(batch),
        keys.batch(batch),
        keys.bell(queue),
    ]
    begun = Resume(chunk.first, chunk.start, chunk.stop, chunk.start, chunk.stop, run)
    told = [message, queue, json.dumps(queue), chunk.id, str(begun), run, keys.handed(batch), ttl_seconds]
    known = [str(chunk.first), *(f"{step} {chunk.function or ''}" for step in STEPS)]
    args = [*told, keys.BELL_TTL_SECONDS, *known]
    try:
        wire.execute([("EVALSHA", *HAND.named(names, args))])
    except NoScriptError:  # the first time, and after a restart of the server
        wire.execute([("EVAL", *HAND.whole(names, args))])
