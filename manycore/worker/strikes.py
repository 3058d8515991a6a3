"""How often, and how, an item killed its worker: written by the parent that saw it, read by the next run of the chunk.

An item that ran into its hard time limit is not run again for it: its verdict is `ItemTimeout`. One that killed its
process otherwise runs until it has had `max_executions`; then its verdict is `WorkerCrashed`. The rest of the chunk
goes on in both cases.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from redis import Redis

from manycore.errors import ItemTimeout, ManycoreError, WorkerCrashed
from manycore.protocol import keys
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.message import Chunk
from manycore.protocol.script import Script
from manycore.worker.blackbox import SETUP, Reading, step_field

STRIKE = Script(__package__, "strike")
HARD_GRACE_SECONDS = 1.0
"""How long an item may go on at most after its soft limit: to clean up, or because it cannot be interrupted."""
UNSEEN = "its whole worker died with it"
MAX_DIGITS = 20
"""Of an index: Python refuses to read a number of some thousands, which anybody may write there."""


@dataclass(frozen=True, slots=True)
class Strike:
    """The deaths of one item: how many, and of the last one how it came, and the trace if it was a hard time limit."""

    count: int
    cause: str
    trace: str = ""

    def verdict(self, chunk: Chunk, max_executions: int) -> ManycoreError | None:
        """The error that ends the item, None if it may run again."""
        if self.trace and chunk.options.timeout is not None:
            grace = f" and of {HARD_GRACE_SECONDS:g} s more, in code that cannot be interrupted; its process was ended"
            return ItemTimeout(chunk.options.timeout, grace)
        return WorkerCrashed(self.count, self.cause) if self.count >= max_executions else None


def record(redis: Redis, reading: Reading, cause: str, ttl: int) -> Strike:
    """Count one more death of what the black box names, an item or its function; the same death counts once."""
    facts = json.dumps({"cause": cause, "trace": reading.trace})
    count = STRIKE.run(redis, [keys.strikes(reading.batch)], [reading.field, reading.run, facts, ttl])
    return Strike(int(count), cause, reading.trace)


def absolve(redis: Redis, reading: Reading, ttl: int) -> None:
    """Note that the process of a run died, and that it was between items: none of them is to blame."""
    key, pipe = keys.strikes(reading.batch), redis.pipeline(transaction=False)
    pipe.hsetnx(key, f"named {reading.run}", "")
    pipe.expire(key, ttl)
    pipe.execute()


def known_of(redis: Redis, readings: list[Reading]) -> Reading | None:
    """Of executions of one subject that ended together the one that is claimed, or has been counted for all."""
    names = [f"{kind} {readings[0].field}" for kind in ("deaths", "claims")]
    found: Any = redis.hmget(keys.strikes(readings[0].batch), names)
    runs = b" ".join(filter(None, found)).decode(errors="replace").split()
    return next((reading for reading in readings if reading.run in runs), None)


def parse(fields: dict[bytes, bytes]) -> dict[int, Strike]:
    """The strikes of a batch by item index, from its hash."""
    items = (name for name in fields if len(name) < MAX_DIGITS and name.isdigit())
    found = {int(name): _strike(fields, name) for name in items}
    return {index: strike for index, strike in found.items() if strike is not None and strike.count}


def of_step(fields: dict[bytes, bytes], step: int, digest: str) -> Strike | None:
    """The strike of a step before the items, out of the strikes of their batch: of rebuilding a function, or of its
    initializer."""
    return _strike(fields, step_field(step, digest).encode())


def of_initializer(redis: Redis, batch: str, digest: str) -> Strike | None:
    """The strike of the initializer of a function as it is now: other slots run it at the same time."""
    found: Any = redis.hgetall(keys.strikes(batch))
    return of_step(found, SETUP, digest)


def fail(redis: Redis, batch: str, digest: str, cause: str, trace: str, ttl: int) -> None:
    """Note that the initializer of a function fails, without a death: a strike that counts none, and ends the batch."""
    pipe = redis.pipeline(transaction=False)
    pipe.hset(keys.strikes(batch), step_field(SETUP, digest), json.dumps({"cause": cause, "trace": trace}))
    pipe.expire(keys.strikes(batch), ttl)
    pipe.execute()


def claimed(fields: dict[bytes, bytes]) -> dict[str, list[str]]:
    """What is under way in a batch, as far as it is counted: item or function -> the runs that have it."""
    claims = {name.removeprefix(b"claims "): value for name, value in fields.items() if name.startswith(b"claims ")}
    return {name.decode(errors="replace"): value.decode(errors="replace").split() for name, value in claims.items()}


def absolved(fields: dict[bytes, bytes], run: str) -> bool:
    """Whether the process of this run died between items."""
    return fields.get(f"named {run}".encode()) == b""


def named(fields: dict[bytes, bytes], run: str) -> bool:
    """Whether it is known of this run on what its death is to be blamed, if on anything."""
    return f"named {run}".encode() in fields


def owner_of(run: str) -> str:
    """Which chunk of its batch it was a run of."""
    return run.partition("/")[0]


def _strike(fields: dict[bytes, bytes], subject: bytes) -> Strike | None:
    """None if there is none, or none that we wrote: it is not signed."""
    deaths = len(fields.get(b"deaths " + subject, b"").split())
    try:
        facts = json.loads(fields[subject])
        return Strike(deaths, str(facts["cause"]), str(facts["trace"]))
    except UNREADABLE:
        return None
