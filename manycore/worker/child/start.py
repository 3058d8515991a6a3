"""Begins a run of a chunk: fetches what its message only names, and learns what of it earlier runs may have begun."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from manycore.protocol import keys
from manycore.protocol.message import LOST, Chunk
from manycore.protocol.resume import Resume
from manycore.protocol.script import Script, knowing
from manycore.worker import strikes
from manycore.worker.blackbox import Reading
from manycore.worker.child.claims import CLAIM, SETTLE
from manycore.worker.child.giving import GIVE
from manycore.worker.child.reporter import FINISH, REPORT
from manycore.worker.context import WorkerContext
from manycore.worker.strikes import UNSEEN, owner_of

BEGIN = Script(__package__, "begin")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What Redis holds for a chunk; None for what was not asked for, or is not there."""

    cancelled: bytes | None
    function: bytes | None
    payload: bytes | None
    resume: bytes | None
    strikes: dict[bytes, bytes]
    mark: bytes | None = None


NOTHING = Fetched(None, None, None, None, {})
"""Of a batch of which there is nothing to know, and whose function is here."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a run still has to run, and what of that earlier runs may have begun."""

    chunk: Chunk
    careful: int
    """The items before this position are suspects."""
    unseen: str
    """The runs (words) of which one may have begun a suspect, and whose fate nobody saw."""
    lost: bool
    """Whether its message got lost, and nobody knows what of it had begun."""

    @classmethod
    def of(cls, sent: Chunk, fetched: Fetched) -> Start:
        resume = Resume.parse(fetched.resume)
        chunk = resume.of(sent) if resume else sent
        if sent.is_outdated(fetched.mark):
            chunk = replace(chunk, start=chunk.stop)
        before = resume.before.split() if resume else []
        unseen = [run for run in before if not strikes.named(fetched.strikes, run)]
        careful = resume.careful if resume and unseen else 0
        again = chunk.postponed > 0 or chunk.attempt > 1
        brought = [run for run in chunk.suspect.split() if not strikes.named(fetched.strikes, run)]
        lost = LOST in brought and not again
        if brought and not lost:
            careful = chunk.stop
        return cls(chunk, careful, " ".join([*unseen, *brought]), lost)


def fetch(context: WorkerContext, chunk: Chunk, token: str, *, known: bool) -> Fetched:
    """Begin the run `token`, and fetch what it needs; `known` says that its function is here. To repeat it is harmless.

    Raises redis-py's errors.
    """
    # All the scripts that the run will need: told later, a report's outcomes could arrive without the rest of it.
    step = partial(_fetched, context, chunk, token, known=known)
    return knowing(context.redis, step, BEGIN, REPORT, FINISH, CLAIM, GIVE)


def _fetched(context: WorkerContext, chunk: Chunk, token: str, *, known: bool) -> Fetched:
    pipe = context.line.round()
    names = [keys.resume(chunk.batch), keys.strikes(chunk.batch), keys.batch(chunk.batch)]
    ttl = context.settings.batch_ttl_seconds
    BEGIN.queue(pipe, names, [chunk.id, chunk.start, chunk.stop, token, ttl, chunk.first])
    if chunk.payload_token is not None:
        pipe.get(keys.payload(chunk.batch, chunk.payload_token))
    if chunk.function is not None and not known:
        pipe.get(keys.reference(chunk.function))
    (resume, cancelled, mark, found), *rest = pipe.execute()
    payload = rest.pop(0) if chunk.payload_token is not None else None
    function = rest.pop(0) if rest else None
    return Fetched(cancelled, function, payload, resume, dict(zip(found[::2], found[1::2], strict=True)), mark)


def settled(context: WorkerContext, chunk: Chunk, fields: dict[bytes, bytes], token: str) -> dict[bytes, bytes]:
    """The strikes of the batch, with what earlier runs of this chunk had claimed: their whole worker died of it.

    Raises redis-py's errors.
    """
    ttl, found = context.settings.batch_ttl_seconds, False
    for subject, runs in strikes.claimed(fields).items():
        for run in runs:
            if run == token or owner_of(run) != owner_of(token):
                continue
            if strikes.absolved(fields, run):  # it died before that began, or after it had come to its end
                SETTLE.run(context.redis, [keys.strikes(chunk.batch)], [subject, run])
            else:
                strikes.record(context.redis, Reading.of(chunk.id, subject, run), UNSEEN, ttl)
            found = True
    again: Any = context.redis.hgetall(keys.strikes(chunk.batch)) if found else fields
    return dict(again)
