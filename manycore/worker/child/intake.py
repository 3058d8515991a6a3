"""Makes a chunk ready to run: fetches what its message only names, in one round trip, and resumes a redelivered one."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any

from manycore.errors import BatchCancelled, MessageRefused, WorkerCrashed
from manycore.protocol import keys, packing
from manycore.protocol.codec import content_digest
from manycore.protocol.failure import dump_error
from manycore.protocol.message import Chunk
from manycore.protocol.resume import CAREFUL_SECONDS, Resume
from manycore.protocol.serializer import Delivery
from manycore.worker import strikes
from manycore.worker.blackbox import FUNCTION, Reading
from manycore.worker.child.claims import Claims
from manycore.worker.child.initializer import initialized
from manycore.worker.child.preliminaries import UNSEEN, Preliminaries, items_of
from manycore.worker.child.quarantine import set_aside
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.turn import Call, Doomed, Turn, bind
from manycore.worker.context import WorkerContext
from manycore.worker.functions import Function
from manycore.worker.strikes import Strike


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What Redis holds for a chunk; None for what was not asked for, or is not there."""

    cancelled: bytes | None
    function: bytes | None
    payload: bytes | None
    resume: bytes | None
    strikes: dict[bytes, bytes]


def prepare(
    context: WorkerContext,
    delivery: Delivery,
    own: Callable[..., Any],
    world: ExitStack,
    *,
    redelivered: bool,
    queue: str,
    shadow: str | None,
) -> tuple[ChunkRun, Call]:
    """The run of a delivered chunk and the turn that each item has; `own` is the function of a registered task.

    `world` is what surrounds the items for as long as they run; the state that their initializer has made goes there.
    Raises a `ManycoreError` that is the outcome of every item when the chunk cannot run.
    """
    known = context.cached(delivery.chunk.function)
    fetched = _fetch(context, delivery.chunk, redelivered=redelivered, known=known is not None)
    resume = Resume.parse(fetched.resume, delivery.chunk)
    chunk = resume.of(delivery.chunk) if resume else delivery.chunk
    context.box.begin(chunk, suspect=redelivered or chunk.suspect)
    before = Preliminaries(context, chunk, fetched.strikes, resume, careful=redelivered)
    function = known or _load_function(before, fetched)
    if not fetched.cancelled:
        world.enter_context(initialized(function.setup, before))
    payload = delivery.payload if chunk.payload_token is None else _checked(chunk, fetched)
    held = packing.opened(payload)
    struck = strikes.parse(fetched.strikes)
    if resume and resume.running is not None and resume.running >= 0:
        struck[chunk.index(resume.running)] = _strike_unseen(context, chunk, resume.running)

    def put_aside(position: int, strike: Strike) -> None:
        set_aside(context, chunk, held, {position: strike}, queue, shadow)

    settings = context.settings
    claims = Claims(context.redis, chunk, settings.max_executions, settings.batch_ttl_seconds, put_aside)
    items = held.values[chunk.start : chunk.stop]
    found, crashed = _doom(claims, items, struck)
    if crashed and not fetched.cancelled:
        set_aside(context, chunk, held, crashed, queue, shadow)
    run = ChunkRun(
        chunk,
        items,
        context.box,
        payload=delivery.payload,
        held=held,
        queue=queue,
        shadow=shadow,
        max_item_bytes=settings.max_item_bytes,
    )
    turn = Turn(
        run,
        bind(function.call or own, function.kwargs, chunk.options.form),
        where=f"worker {context.name}",
        pickled=held.separate,
        max_memory=settings.max_item_memory,
    )
    suspect = redelivered or chunk.suspect
    if suspect:
        run.careful_until = monotonic() + CAREFUL_SECONDS
    if suspect or found:
        turn.guard(run.careful_until)
    if fetched.cancelled:
        run.cancel(fetched.cancelled)
    return run, turn.shortest()


def _load_function(before: Preliminaries, fetched: _Fetched) -> Function:
    """Rebuild the chunk's function under a note of its own: if that kills the process, the function is to blame."""
    context, chunk = before.context, before.chunk
    strike = before.strike(FUNCTION)
    if strike is not None and strike.count >= context.settings.max_executions:
        raise WorkerCrashed(strike.count, f"{strike.cause}, each time that its function was rebuilt")
    with before.noted(FUNCTION):
        return context.function(chunk.function or "", fetched.function, chunk.code)


def _fetch(context: WorkerContext, chunk: Chunk, *, redelivered: bool, known: bool) -> _Fetched:
    pipe = context.redis.pipeline(transaction=False)
    wanted: dict[str, Any] = {"cancelled": pipe.hget(keys.batch(chunk.batch), "cancelled")}
    if chunk.function is not None and not known:
        wanted["function"] = pipe.get(keys.reference(chunk.function))
    if chunk.payload_token is not None:
        wanted["payload"] = pipe.get(keys.payload(chunk.batch, chunk.payload_token))
    # Not of a redelivered one alone: what was lost and sent again comes as a new message, its items' deaths stand.
    wanted["strikes"] = pipe.hgetall(keys.strikes(chunk.batch))
    if redelivered:
        wanted["resume"] = pipe.hget(keys.resume(chunk.batch), chunk.id)
    got: dict[str, Any] = dict(zip(wanted, pipe.execute(), strict=True))
    return _Fetched(
        got["cancelled"], got.get("function"), got.get("payload"), got.get("resume"), got.get("strikes") or {}
    )


def _checked(chunk: Chunk, fetched: _Fetched) -> bytes:
    payload = fetched.payload
    if payload is None and fetched.cancelled:
        raise BatchCancelled(chunk.batch)  # who cancelled it has deleted that
    if payload is None:
        raise MessageRefused("its payload is no longer in Redis: it was answered already, or its time was over")
    if not hmac.compare_digest(content_digest(payload), chunk.payload_digest):
        raise MessageRefused("its payload is not the one that was signed")
    return payload


def _strike_unseen(context: WorkerContext, chunk: Chunk, position: int) -> Strike:
    """Count the death of a whole worker on the item that was noted as running: nobody was left to say how it died."""
    reading = Reading(chunk.id, chunk.index(position), items_of(chunk), suspect=True)
    return strikes.record(context.redis, reading, UNSEEN, context.settings.batch_ttl_seconds)


def _doom(claims: Claims, items: list[Any], struck: dict[int, Strike]) -> tuple[bool, dict[int, Strike]]:
    """Replace the items that must not run again by `Doomed`, the other struck ones by `Struck`.

    Says whether there is one, and which are poison.
    """
    chunk, found, crashed = claims.chunk, False, {}
    for place, index in enumerate(chunk.indices_of(chunk.start, chunk.stop) if struck else ()):
        strike = struck.get(index)
        if strike is None:
            continue
        found = True
        verdict = strike.verdict(chunk, claims.max_executions)
        if verdict is None:
            items[place] = claims.struck(items[place], chunk.start + place, strike)
            continue
        items[place] = Doomed(dump_error(verdict, strike.trace), type(verdict).__name__)
        if isinstance(verdict, WorkerCrashed):
            crashed[chunk.start + place] = strike
    return found, crashed
