"""How often, and how, an item killed its worker: written by the parent that saw it, read by the next run of the chunk.

An item that ran into its hard time limit is not run again for it: its verdict is `ItemTimeout`. One that killed its
process otherwise runs until it has had `max_executions`; then its verdict is `WorkerCrashed`. The rest of the chunk
goes on in both cases.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from manycore.errors import ItemTimeout, ManycoreError, WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.message import Chunk
from manycore.protocol.resume import Resume
from manycore.worker.blackbox import SETUP, Reading, step_field

HARD_GRACE_SECONDS = 1.0
"""How long an item may go on at most after its soft limit: to clean up, or because it cannot be interrupted."""


@dataclass(frozen=True, slots=True)
class Strike:
    """The deaths of one item: how many, and of the last one how it came, the trace if it was a hard time limit, and
    which process it was."""

    count: int
    cause: str
    trace: str = ""
    death: str = ""

    def verdict(self, chunk: Chunk, max_executions: int) -> ManycoreError | None:
        """The error that ends the item, None if it may run again."""
        if self.trace and chunk.options.timeout is not None:
            grace = f" and of {HARD_GRACE_SECONDS:g} s more, in code that cannot be interrupted; its process was ended"
            return ItemTimeout(chunk.options.timeout, grace)
        return WorkerCrashed(self.count, self.cause) if self.count >= max_executions else None


def record(redis: Redis, reading: Reading, cause: str, ttl: int) -> Strike:
    """Count one more death of what the black box names, an item or its function, and settle what careful mode noted.

    A suspect chunk may have run before, to a death that nothing could name: it counts with the first strike, unless
    another item of the chunk has one, which then tells why the chunk came again.
    """
    batch, index = reading.batch, reading.index
    key = keys.strikes(batch)
    pipe = redis.pipeline(transaction=False)
    pipe.hgetall(key)
    pipe.hget(keys.resume(batch), reading.chunk)
    pipe.hget(keys.claims(batch), str(index))
    fields, resume, claimed = pipe.execute()
    before = strike_of(fields.get(reading.field.encode()))
    if before is not None and reading.death and before.death == reading.death:
        return before  # noted before, and only the answer to that got lost
    explained = not parse(fields).keys().isdisjoint(reading.items)
    count = before.count if before is not None else int(reading.suspect and not explained)
    strike = Strike(count + 1, cause, reading.trace, reading.death)
    pipe.hset(key, reading.field, json.dumps(asdict(strike)))
    pipe.expire(key, ttl)
    if claimed and claimed.isdigit() and int(claimed):
        pipe.hincrby(keys.claims(batch), str(index), -1)  # it is under way no more
    if (known := Resume.parse(resume)) is not None:
        pipe.hset(keys.resume(batch), reading.chunk, str(known.settled()))
    pipe.execute()
    return strike


def parse(fields: dict[bytes, bytes]) -> dict[int, Strike]:
    """The strikes of a batch by item index, from its hash."""
    return {int(name): strike for name, value in fields.items() if name.isdigit() and (strike := strike_of(value))}


def of_step(fields: dict[bytes, bytes], step: int, digest: str) -> Strike | None:
    """The strike of a step before the items, out of the strikes of their batch: of rebuilding a function, or of its
    initializer."""
    return strike_of(fields.get(step_field(step, digest).encode()))


def of_initializer(redis: Redis, batch: str, digest: str) -> Strike | None:
    """The strike of the initializer of a function as it is now: other slots run it at the same time."""
    found: Any = redis.hget(keys.strikes(batch), step_field(SETUP, digest))
    return strike_of(found)


def fail(redis: Redis, batch: str, digest: str, cause: str, trace: str, ttl: int) -> None:
    """Note that the initializer of a function fails, without a death: a strike that counts none, and ends the batch."""
    pipe = redis.pipeline(transaction=False)
    pipe.hset(keys.strikes(batch), step_field(SETUP, digest), json.dumps(asdict(Strike(0, cause, trace))))
    pipe.expire(keys.strikes(batch), ttl)
    pipe.execute()


def strike_of(value: bytes | None) -> Strike | None:
    """None if there is none, and for what nobody of ours wrote: it condemns nobody."""
    try:
        fields = json.loads(value or b"null") or {}
        return Strike(int(fields["count"]), *(str(fields.get(name, "")) for name in ("cause", "trace", "death")))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
