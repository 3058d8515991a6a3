"""Makes a chunk ready to run: its function, its items and their turn, without what earlier runs have done."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic
from typing import Any

from manycore.errors import BatchCancelled, MessageRefused, WorkerCrashed
from manycore.protocol import packing
from manycore.protocol.failure import dump_error
from manycore.protocol.message import Chunk
from manycore.protocol.packing import Opened
from manycore.protocol.serializer import Delivery
from manycore.protocol.signing import content_digest
from manycore.worker import strikes
from manycore.worker.blackbox import FUNCTION
from manycore.worker.child.claims import Claims
from manycore.worker.child.initializer import initialized
from manycore.worker.child.preliminaries import Preliminaries
from manycore.worker.child.quarantine import set_aside
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.spans import with_spans
from manycore.worker.child.start import NOTHING, Fetched, Start, fetch, settled
from manycore.worker.child.turn import Call, Doomed, Skipped, Turn, bind
from manycore.worker.context import WorkerContext
from manycore.worker.functions import Function
from manycore.worker.strikes import Strike

CAREFUL_SECONDS = 2.0
"""How long a chunk that was sent again runs carefully, since its message got lost: being so costs two round trips an
item, and nobody knows what of it had begun."""


def prepare(
    context: WorkerContext,
    delivery: Delivery,
    own: Callable[..., Any],
    world: ExitStack,
    *,
    token: str,
    queue: str,
    shadow: str | None,
    begun: bool = False,
) -> tuple[ChunkRun, Callable[[], Call]]:
    """The run of a delivered chunk and what gives the turn of its items; `own` is the function of a registered task.

    `world` is what surrounds the items for as long as they run; the state that their initializer has made goes there.
    `token` names the run: it is the same when this is tried again, since the server was away. Was it `begun` as it was
    handed to this slot, there is nothing to ask. Raises a `ManycoreError` that is the outcome of every item when the
    chunk cannot run.
    """
    known = context.cached(delivery.chunk.function)
    fetched = NOTHING if begun and known else fetch(context, delivery.chunk, token, known=known is not None)
    start = Start.of(delivery.chunk, fetched)
    chunk, settings = start.chunk, context.settings
    if not len(chunk):  # only its acknowledgement got lost
        return ChunkRun(chunk, (), context.box, queue=queue, token=token), lambda: own
    deaths = settled(context, chunk, fetched.strikes, token)
    struck = strikes.parse(deaths)

    def put_aside(position: int, strike: Strike) -> None:
        set_aside(context, chunk, held, {position: strike}, queue, shadow)

    claims = Claims(context.redis, chunk, token, settings.max_executions, settings.batch_ttl_seconds, struck, put_aside)
    context.box.begin(chunk, token)
    before = Preliminaries(context, chunk, deaths, claims, careful=bool(start.unseen))
    function = known if known and known.late is None else _load_function(before, fetched, known)
    if not fetched.cancelled:
        world.enter_context(initialized(function.setup, before))
    payload = delivery.payload if chunk.payload_token is None else _checked(chunk, fetched)
    held = packing.opened(payload)
    run = _run(context, delivery, start, held, claims, queue=queue, shadow=shadow)
    deadly, crashed = _doom(run, struck, settings.max_executions)
    if crashed and not fetched.cancelled:
        set_aside(context, chunk, held, crashed, queue, shadow)
    call = bind(function.call or own, function.kwargs, chunk.options.form)
    if chunk.options.trace:
        call = with_spans(call, run)
    where, memory = f"worker {context.name}", settings.max_item_memory
    turn = Turn(run, call, where=where, pickled=held.separate, max_memory=memory)
    skip(run)
    if deadly or chunk.skipped:
        turn.guard(deadly)
    if fetched.cancelled:
        run.cancel(fetched.cancelled)
    return run, turn.shortest


def _run(
    context: WorkerContext,
    delivery: Delivery,
    start: Start,
    held: Opened,
    claims: Claims,
    *,
    queue: str,
    shadow: str | None,
) -> ChunkRun:
    """The run of what is left of a chunk, as far as it is known before its items are looked at."""
    chunk, most = start.chunk, context.settings.max_item_bytes
    run = ChunkRun(
        chunk,
        held.values[chunk.start : chunk.stop],
        context.box,
        payload=delivery.payload,
        held=held,
        queue=queue,
        shadow=shadow,
        max_item_bytes=most,
        token=claims.run,
        before=start.unseen,
        careful=start.careful,
        claims=claims,
        pickled=lambda value: context.objects.pickled(value, chunk, most),
    )
    if start.lost:
        run.careful_until = monotonic() + CAREFUL_SECONDS
    return run


def _load_function(before: Preliminaries, fetched: Fetched, known: Function | None) -> Function:
    """Rebuild the chunk's function under a note of its own: if that kills the process, the function is to blame."""
    context, chunk = before.context, before.chunk
    strike = before.strike(FUNCTION)
    if strike is not None and strike.count >= context.settings.max_executions:
        raise WorkerCrashed(strike.count, f"{strike.cause}, each time that its function was rebuilt")
    with before.noted(FUNCTION):
        function = known or context.function(chunk.function or "", fetched.function, chunk.world)
        if function.late is None:
            return function
        kwargs = packing.rebuilt(function.late, "A keyword argument", f"worker {context.name}")
        return function._replace(kwargs=kwargs)


def _checked(chunk: Chunk, fetched: Fetched) -> bytes:
    payload = fetched.payload
    if payload is None and fetched.cancelled:
        raise BatchCancelled(chunk.batch)  # who cancelled it has deleted that
    if payload is None:
        raise MessageRefused("its payload is no longer in Redis: it was answered already, or its time was over")
    if not hmac.compare_digest(content_digest(payload), chunk.payload_digest):
        raise MessageRefused("its payload is not the one that was signed")
    return payload


def skip(run: ChunkRun) -> None:
    """Replace the items that are not this chunk's to run by `Skipped`."""
    for position in run.chunk.skipped:
        if run.chunk.start <= position < run.chunk.stop:
            run.items.replace(position, Skipped())


def _doom(run: ChunkRun, struck: dict[int, Strike], max_executions: int) -> tuple[list[int], dict[int, Strike]]:
    """Replace the items that must not run again by `Doomed`. Says at which positions items have killed, and which are
    poison; those that are another chunk's affair are left out."""
    chunk, deadly, crashed = run.chunk, [], {}
    others = set(chunk.skipped)
    for position in range(chunk.start, chunk.stop) if struck else ():
        strike = struck.get(chunk.index(position))
        if strike is None or position in others:
            continue
        deadly.append(position)
        verdict = strike.verdict(chunk, max_executions)
        if verdict is None:
            continue
        run.items.replace(position, Doomed(dump_error(verdict, strike.trace), type(verdict).__name__))
        if isinstance(verdict, WorkerCrashed):
            crashed[position] = strike
    return deadly, crashed
